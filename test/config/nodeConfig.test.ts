import fc from 'fast-check'
import { parse } from 'smol-toml'
import { describe, expect, it } from 'vitest'
import { defaultNodeConfig, parseNodeConfig } from '../../config/nodeConfig.ts'
import { nearest, problemLine } from '../../config/problems.ts'
import { renderMarkdown, renderToml, settingValue } from '../../config/render.ts'
import { type NodeConfig, SETTING_ROWS } from '../../config/settings.ts'

const file = (text: string) => ({ file: { name: 'config.toml', text } })
const linesOf = (sources: Parameters<typeof parseNodeConfig>[0]): string[] => {
  const parsed = parseNodeConfig(sources)
  return parsed.ok ? [] : parsed.problems.map(problemLine)
}
const configOf = (sources: Parameters<typeof parseNodeConfig>[0]): NodeConfig => {
  const parsed = parseNodeConfig(sources)
  if (!parsed.ok) throw new Error(parsed.problems.map(problemLine).join('\n'))
  return parsed.value.config
}

describe('config: what is rendered parses back', () => {
  it('config: the rendered defaults → the same configuration, every key written once', () => {
    const text = renderToml(defaultNodeConfig())
    expect(configOf(file(text))).toEqual(defaultNodeConfig())
    const keys = Object.values(parse(text)).flatMap((section) => Object.keys(section as object))
    expect(keys).toHaveLength(SETTING_ROWS.length)
  })

  it('config: any configuration that parses → renders to text that parses to the same', () => {
    const name = fc.stringMatching(/^[A-Za-zÅäö0-9][A-Za-z0-9 ._-]{0,20}$/)
    const address = fc
      .tuple(fc.ipV4(), fc.integer({ min: 0, max: 65_535 }))
      .map(([ip, port]) => `/ip4/${ip}/tcp/${port}`)
    const peers = fc.uniqueArray(
      fc.tuple(name, address).map(([member, at]) => `${member.trim()}=${at}`),
      { maxLength: 5 },
    )
    // File names may hold quotes, backslashes and hashes; commas divide lists, so only a file can carry them.
    const path = fc.stringMatching(/^[a-z"'#\\/. =]{1,20}$/).filter((text) => text.trim() === text && text !== '')
    const flags = fc.record({
      'node.name': name,
      'node.data_dir': path,
      'network.peers': peers.map((all) => all.join(',')),
      'api.listen': fc.oneof(
        fc.ipV4().map((ip) => `${ip}:0`),
        fc.ipV6().map((ip) => `[${ip}]:80`),
      ),
      'pool.bytes_max': fc.integer({ min: 1048576, max: 4294967296 }).map(String),
      'metrics.enabled': fc.boolean().map(String),
      'log.level': fc.constantFrom('fatal', 'trace'),
    })
    fc.assert(
      fc.property(flags, (given) => {
        const config = configOf({ flags: given })
        expect(configOf(file(renderToml(config)))).toEqual(config)
      }),
      { numRuns: 100 },
    )
  })

  it('config: every default → passes its own check, also as text', () => {
    for (const row of SETTING_ROWS) {
      const raw = row.kind.toRaw(row.default)
      const text = Array.isArray(raw) ? raw.join(',') : String(raw)
      expect(row.kind.fromText(text), row.name).toEqual({ ok: true, value: row.default })
    }
  })

  it('config: the documentation → names every key, its default and its variable', () => {
    const page = renderMarkdown()
    for (const row of SETTING_ROWS) expect(page).toContain(`| \`${row.key}\` |`)
    for (const row of SETTING_ROWS) expect(page).toContain(`\`${row.environment}\``)
  })
})

describe('config: precedence and origin', () => {
  const text = '[log]\nlevel = "warn"\n\n[api]\nlisten = "127.0.0.1:1"\nissuer = "file"\n'

  it('config: one setting in every source → flag over environment over file over default, each origin told', () => {
    const parsed = parseNodeConfig({
      ...file(text),
      environment: { ALTHING_API_LISTEN: '127.0.0.1:2', ALTHING_API_ISSUER: 'environment', HOME: '/' },
      flags: { 'api.listen': '127.0.0.1:3' },
    })
    if (!parsed.ok) throw new Error('refused')
    const { config, origins } = parsed.value
    expect(config.api).toMatchObject({ listen: { host: '127.0.0.1', port: 3 }, issuer: 'environment' })
    expect(config.log.level).toBe('warn')
    expect(origins.get('api.listen')).toEqual({ source: 'flag', detail: '--set api.listen' })
    expect(origins.get('api.issuer')).toEqual({ source: 'environment', detail: 'ALTHING_API_ISSUER' })
    expect(origins.get('log.level')).toEqual({ source: 'file', detail: 'config.toml line 2' })
    expect(origins.get('log.format')).toEqual({ source: 'default', detail: 'default' })
    expect([...origins.keys()]).toEqual(SETTING_ROWS.map((row) => row.name))
  })

  it('config: a wrong value that a flag overrides → still a problem', () => {
    expect(linesOf({ ...file('[pool]\ncount_max = 0\n'), flags: { 'pool.count_max': '9000' } })).toEqual([
      'config.toml line 2, pool.count_max: is not a whole number from 1 to 10000000',
    ])
  })

  it('config: the result → frozen to the bottom', () => {
    const config = configOf({ flags: { 'network.peers': 'B=/ip4/1.2.3.4/tcp/1' } })
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen))
    expect(frozen(config)).toBe(true)
  })
})

describe('config: what an operator reads when it is wrong', () => {
  it('config: many mistakes → all of them at once, each with its line and a suggestion', () => {
    const text = [
      '[api]',
      'lisen = "127.0.0.1:80"',
      'body_bytes_max = 4096.0',
      'listen = "127.0.0.1:99999"',
      'token_secret = "hunter2"',
      '[netwrk]',
      '[pool]',
      'level = "info"',
      '[network]',
      'listen = ["/ip4/0.0.0.0/udp/1", "x"]',
      'peers = "B=/ip4/1.2.3.4/tcp/1"',
      '[log]',
      'level = "loud"',
    ].join('\n')
    expect(
      linesOf({
        ...file(text),
        environment: { ALTHING_POOL_COUNT_MAX: '1e3' },
        flags: { 'api.lsten': 'x', 'network.peers': 'B' },
      }),
    ).toEqual([
      'config.toml line 2: api.lisen is not a setting. Did you mean listen?',
      'config.toml line 3, api.body_bytes_max: is not a whole number from 1024 to 67108864',
      'config.toml line 4, api.listen: is not host:port, such as 127.0.0.1:7380 or [::1]:7380',
      'config.toml line 5: api.token_secret is not a setting',
      'config.toml line 6: [netwrk] is not a section. Did you mean network?',
      'config.toml line 8: pool.level is not a setting. Did you mean log.level?',
      'config.toml line 10, network.listen: entry 1 is not a TCP multiaddr, such as /ip4/0.0.0.0/tcp/7379',
      'config.toml line 11, network.peers: is not a list: write it in [ ]',
      'config.toml line 13, log.level: is not one of fatal, error, warn, info, debug, trace',
      'ALTHING_POOL_COUNT_MAX: is not a whole number from 1 to 10000000',
      '--set api.lsten: is not a setting. Did you mean api.listen?',
      '--set network.peers: entry 1 is not <member name>=<multiaddr>, such as Org B=/dns4/b.example.org/tcp/7379',
    ])
  })

  it('config: text that is no TOML → the line and column', () => {
    expect(linesOf(file('[api]\nlisten = \n'))).toEqual([
      expect.stringMatching(/^config\.toml line 2, column \d+: is not TOML: /),
    ])
    expect(linesOf(file('[log]\nlevel="info"\nlevel="warn"\n'))).toHaveLength(1)
  })

  it('config: a key outside of every section → where it belongs', () => {
    expect(linesOf(file('segment = "a"\n'))).toEqual([
      'config.toml line 1: segment stands outside of every section. It belongs below [rtu]',
    ])
  })

  it('config: settings that contradict one another → both named', () => {
    expect(linesOf({ flags: { 'metrics.listen': '127.0.0.1:7380' } })).toEqual([
      'metrics.listen: has the port of api.listen, 7380. Give one of them another port',
    ])
  })

  it('config: a variable like those Kubernetes makes → a warning and no error', () => {
    const parsed = parseNodeConfig({ environment: { ALTHING_API_SERVICE_HOST: '10.0.0.1', ALTHING_API_LISEN: 'x' } })
    expect(parsed.ok && parsed.value.warnings.map(problemLine)).toEqual([
      'ALTHING_API_SERVICE_HOST: is read by no setting',
      'ALTHING_API_LISEN: is read by no setting. Did you mean ALTHING_API_LISTEN?',
    ])
  })

  it('config: hostile text → problems and never an exception', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('[__proto__]\nx=1', 'api=[[[[[[[[[[[[', '[api]\nlisten=2020-01-01'),
    )
    fc.assert(fc.property(texts, (text) => typeof parseNodeConfig(file(text)).ok === 'boolean'))
    expect(linesOf(file(`#${'x'.repeat(300_000)}`))).toHaveLength(1)
    expect(linesOf(file('[__proto__]\nx = 1\n'))).toHaveLength(1)
  })
})

it('suggestions: a slip of the pen → the word, anything farther → nothing', () => {
  expect(nearest('lisetn', ['listen', 'level'])).toBe('listen')
  expect(nearest('zzzz', ['listen', 'level'])).toBeUndefined()
})

it('config: settings of a row → the property that the type has', () => {
  const config = defaultNodeConfig()
  expect(config.api.tokenSecretFile).toBe('keys/token.secret')
  for (const row of SETTING_ROWS) expect(settingValue(config, row), row.name).toEqual(row.default)
})
