/** Commands as the operator meets them: each in a process of its own, by what it prints, writes and exits with. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { secondsNow, signToken } from '../../cli/token.ts'
import { defaultNodeConfig } from '../../config/nodeConfig.ts'
import { althing, type Ended, temporaryFolder } from './process.ts'

let folder: ReturnType<typeof temporaryFolder>
let home: string
beforeEach(() => {
  folder = temporaryFolder()
  home = join(folder.path, 'home')
})
afterEach(() => folder.remove())

const cli = (...words: string[]): Promise<Ended> => althing(home, words)
const json = async (...words: string[]) => {
  const ended = await cli(...words, '--json')
  expect(ended.stderr).toBe('')
  return JSON.parse(ended.stdout)
}
const modeOf = (...path: string[]): number => statSync(join(home, ...path)).mode & 0o777

describe('init', () => {
  it('init: an empty place → a home that `config check` takes, keys closed to others', async () => {
    const made = await json('init', '--name', 'Org A', '--network', 'north')
    expect(made).toMatchObject({ network: 'north', member: 'Org A', apiKey: 'admin' })
    expect([modeOf(), modeOf('keys'), modeOf('keys', 'api')]).toEqual([0o700, 0o700, 0o700])
    expect([modeOf('keys', 'node.key'), modeOf('keys', 'api', 'admin.key'), modeOf('keys', 'token.secret')]).toEqual([
      0o600, 0o600, 0o600,
    ])
    const genesis = JSON.parse(readFileSync(join(home, 'genesis.json'), 'utf8'))
    expect(genesis.members).toEqual([{ name: 'Org A', publicKey: made.publicKey, apiKeys: [made.apiPublicKey] }])
    expect(await json('config', 'check')).toMatchObject({ ok: true, chainId: made.chainId, member: 'Org A' })
  })

  it('init: a second time → exit 78, every file as it was', async () => {
    await cli('init')
    const files = ['config.toml', 'genesis.json', 'keys/node.key', 'keys/token.secret'].map((file) => join(home, file))
    const before = files.map((file) => readFileSync(file, 'utf8'))
    const again = await cli('init', '--name', 'Other')
    expect(again).toEqual({
      code: 78,
      stdout: '',
      stderr:
        `althing: ${home} is a home already and is left as it is\n` +
        '  what to do: Edit its config.toml, or choose another folder with --home.\n  code: HOME_EXISTS\n',
    })
    expect(files.map((file) => readFileSync(file, 'utf8'))).toEqual(before)
  })

  it('init: interrupted before config.toml → run again, it finishes with the same keys and genesis', async () => {
    const first = await json('init')
    const genesis = readFileSync(join(home, 'genesis.json'), 'utf8')
    rmSync(join(home, 'config.toml'))
    expect(await json('init')).toEqual(first)
    expect(readFileSync(join(home, 'genesis.json'), 'utf8')).toBe(genesis)
  })

  it('init: two members → one makes the genesis of a list, the other joins with it, both have one chain', async () => {
    const other = join(folder.path, 'other')
    const keys = []
    for (const where of [home, other]) {
      const node = JSON.parse((await althing(where, ['keys', 'new', 'node', '--json'])).stdout)
      const api = JSON.parse((await althing(where, ['keys', 'new', 'admin', '--json'])).stdout)
      keys.push({ name: `Org ${keys.length}`, publicKey: node.publicKey, apiKeys: [api.publicKey] })
    }
    const members = join(folder.path, 'members.json')
    writeFileSync(members, JSON.stringify(keys))
    const made = await json('init', '--name', 'Org 0', '--network', 'pair', '--members', members)
    const joined = JSON.parse(
      (await althing(other, ['init', '--json', '--name', 'Org 1', '--genesis', join(home, 'genesis.json')])).stdout,
    )
    expect(joined).toMatchObject({ chainId: made.chainId, member: 'Org 1', publicKey: keys[1]?.publicKey })
    expect(made.member).toBe('Org 0')
  })

  it('init: a list of members with faults → exit 65, all of them, nothing written', async () => {
    const members = join(folder.path, 'members.json')
    writeFileSync(members, '[{"name":"A","publicKey":"00"},{"nam":"B"}]')
    const ended = await cli('init', '--members', members)
    expect(ended.code).toBe(65)
    expect(ended.stderr.split('\n').filter((line) => line.startsWith('  - '))).toEqual([
      '  - members[0].publicKey: is not a compressed public key: 66 hexadecimal digits that begin with 02 or 03',
      '  - members[1].nam: is not a key of a genesis. Did you mean name?',
      '  - members[1].name: is missing',
      '  - members[1].publicKey: is missing',
    ])
    expect(() => statSync(home)).toThrow('ENOENT')
  })
})

describe('keys', () => {
  const SECRET = '11'.repeat(32)

  it('keys: import from standard input, export to a file → the same key, 0600, the secret in no output', async () => {
    const imported = await althing(home, ['keys', 'import', 'node', '-', '--json'], `${SECRET}\n`)
    const shown = await json('keys', 'show', 'node')
    expect(JSON.parse(imported.stdout)).toEqual(shown)
    const out = join(folder.path, 'copy.key')
    const exported = await cli('keys', 'export', 'node', '--out', out)
    expect(readFileSync(out, 'utf8')).toBe(`${SECRET}\n`)
    expect(statSync(out).mode & 0o777).toBe(0o600)
    for (const ended of [imported, exported]) expect(ended.stdout + ended.stderr).not.toContain(SECRET)
    expect((await cli('keys', 'export', 'node', '--stdout')).stdout).toBe(`${SECRET}\n`)
  })

  it('keys: export without a target → exit 64; over a file → refused, the file as it was', async () => {
    await cli('keys', 'new', 'a')
    expect(await cli('keys', 'export', 'a')).toMatchObject({ code: 64, stdout: '' })
    const out = join(folder.path, 'taken')
    writeFileSync(out, 'mine')
    expect(await cli('keys', 'export', 'a', '--out', out)).toMatchObject({ code: 78, stdout: '' })
    expect(readFileSync(out, 'utf8')).toBe('mine')
  })

  it('keys: a name that would leave the folder → exit 64, nothing written', async () => {
    for (const name of ['../x', 'A', 'a/b', '', 'a'.repeat(33)]) expect((await cli('keys', 'new', name)).code).toBe(64)
    expect(() => statSync(home)).toThrow('ENOENT')
  })

  it('keys: a file open to others → refused with what to do, the other keys still listed', async () => {
    await cli('keys', 'new', 'good')
    await cli('keys', 'new', 'bad')
    const file = join(home, 'keys', 'api', 'bad.key')
    chmodSync(file, 0o644)
    const shown = await cli('keys', 'show', 'bad')
    expect(shown.code).toBe(78)
    expect(shown.stderr).toContain(`chmod 600 ${file}`)
    const list = await json('keys', 'list')
    expect(list.map((key: { name: string; problem: string | null }) => [key.name, key.problem === null])).toEqual([
      ['bad', false],
      ['good', true],
    ])
  })

  it('keys: text that is no key → exit 65 and not repeated', async () => {
    for (const text of ['hunter2', '00'.repeat(32), 'ff'.repeat(32)]) {
      const ended = await althing(home, ['keys', 'import', 'a', '-'], text)
      expect(ended.code).toBe(65)
      expect(ended.stderr).not.toContain(text)
    }
  })
})

describe('token', () => {
  it('token: issued → inspected as valid; with another secret, audience or time → exit 2 with the reason', async () => {
    await cli('init')
    const issued = await json('token', 'issue', 'admin', '--scope', 'write,read', '--lifetime', '5m')
    expect(issued).toMatchObject({ subject: 'admin', scopes: ['read', 'write'] })
    const inspect = (token: string, ...more: string[]) =>
      althing(home, ['token', 'inspect', '-', '--json', ...more], token)
    const good = await inspect(issued.token)
    expect(good.code).toBe(0)
    expect(JSON.parse(good.stdout)).toMatchObject({
      valid: true,
      subject: 'admin',
      scopes: ['read', 'write'],
      issuer: 'althing',
    })

    const foreign = await inspect(issued.token, '--set', 'api.audience=other')
    expect(foreign.code).toBe(2)
    expect(JSON.parse(foreign.stdout)).toMatchObject({
      valid: false,
      reason: 'unexpected "aud" claim value',
      subject: 'admin',
    })

    writeFileSync(join(home, 'keys', 'token.secret'), 'x'.repeat(32))
    const forged = await inspect(issued.token)
    expect(forged.code).toBe(2)
    expect(JSON.parse(forged.stdout)).toMatchObject({ valid: false, subject: null, scopes: null })

    const config = defaultNodeConfig()
    const secret = new TextEncoder().encode('x'.repeat(32))
    const draft = { subject: 'admin', scopes: ['read'], lifetimeS: 60 } as const
    const expired = await inspect(await signToken(secret, config, { ...draft, nowS: secondsNow() - 3600 }))
    expect(expired.code).toBe(2)
    expect(JSON.parse(expired.stdout)).toMatchObject({ valid: false, subject: 'admin' })
    expect((await inspect(await signToken(secret, config, { ...draft, nowS: secondsNow() }))).code).toBe(0)

    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${issued.token.split('.')[1]}.`
    expect((await inspect(none)).code).toBe(2)
    expect((await inspect('rubbish')).code).toBe(2)
  })

  it('token: a secret that is short or open to others → exit 78, no token', async () => {
    await cli('init')
    const file = join(home, 'keys', 'token.secret')
    writeFileSync(file, 'short')
    const short = await cli('token', 'issue', 'admin')
    expect(short).toMatchObject({ code: 78, stdout: '' })
    expect(short.stderr).toContain(`${file}: holds fewer than 32 bytes. Make one with: openssl rand -hex 32`)
    expect(short.stderr).not.toContain('short\n')
    writeFileSync(file, 'x'.repeat(64))
    chmodSync(file, 0o640)
    expect((await cli('token', 'issue', 'admin')).stderr).toContain('is open to other users (mode 640)')
  })

  it('token: unknown key, scope, too long a life → refused with what is possible', async () => {
    await cli('init')
    const unknown = await cli('token', 'issue', 'alice')
    expect(unknown.code).toBe(78)
    expect(unknown.stderr).toContain('Its API keys are: admin.')
    expect((await cli('token', 'issue', 'admin', '--scope', 'root')).code).toBe(64)
    expect((await cli('token', 'issue', 'admin', '--lifetime', '99999d')).code).toBe(64)
  })
})

describe('config', () => {
  it('config show --origin: flag, environment, file and default → each named', async () => {
    await cli('init')
    const ended = await althing(home, ['config', 'show', '--origin', '--set', 'api.issuer=me'], '', {
      ALTHING_LOG_LEVEL: 'debug',
    })
    expect(ended.code).toBe(0)
    const lines = ended.stdout.split('\n')
    expect(lines).toContain('api.issuer = "me"  # --set api.issuer')
    expect(lines).toContain('log.level = "debug"  # ALTHING_LOG_LEVEL')
    expect(lines.find((line) => line.startsWith('node.name = '))).toMatch(
      /^node\.name = "althing" {2}# config\.toml line \d+$/,
    )
  })

  it('config check: faults in every file → exit 78 and all of them in one list', async () => {
    await cli('init')
    writeFileSync(join(home, 'config.toml'), '[network]\npeers = ["Nobody=/ip4/1.2.3.4/tcp/1"]\n')
    chmodSync(join(home, 'keys', 'node.key'), 0o604)
    chmodSync(join(home, 'keys', 'token.secret'), 0o644)
    const ended = await cli('config', 'check')
    expect(ended).toMatchObject({ code: 78, stdout: '' })
    expect(ended.stderr).toContain('- network.peers: "Nobody" is no member of genesis.json. Its members are althing')
    expect(ended.stderr).toContain('node.key is open to other users (mode 604)')
    expect(ended.stderr).toContain('token.secret: is open to other users (mode 644)')
  })

  it('config: no home → exit 78 and how to get one', async () => {
    expect(await cli('config', 'show')).toEqual({
      code: 78,
      stdout: '',
      stderr:
        `althing: there is no althing home at ${home}\n` +
        '  what to do: Run `althing init`, or name the right folder with --home or ALTHING_HOME.\n  code: NOT_INITIALISED\n',
    })
  })
})

describe('the process', () => {
  it('cli: an unknown command or option → exit 64, a suggestion, nothing on standard output', async () => {
    expect(await cli('kesy')).toEqual({
      code: 64,
      stdout: '',
      stderr:
        "althing: unknown command 'kesy' (Did you mean keys?)\n  what to do: `althing help` lists the commands, --help after one describes it.\n",
    })
    expect((await cli('keys', 'list', '--jsn')).code).toBe(64)
    expect((await cli('--set', 'nonsense', 'version')).code).toBe(64)
    expect((await cli()).code).toBe(64)
  })

  it('cli: help → exit 0, on standard output, with the options of every command', async () => {
    const ended = await cli('token', 'issue', '--help')
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    expect(ended.stdout).toContain('--lifetime')
    expect(ended.stdout).toContain('--home')
  })

  it('cli: an older Node.js → exit 69, one line that says which is needed', async () => {
    const pretend = `data:text/javascript,Object.defineProperty(process,'versions',{value:{node:'20.1.0'}})`
    const ended = await althing(home, ['version'], '', { NODE_OPTIONS: `--import=${pretend}` })
    expect(ended).toMatchObject({ code: 69, stdout: '' })
    expect(ended.stderr).toMatch(/^althing: needs Node\.js 24 or later, this is .*\n$/)
  })

  it('cli: version → that of package.json', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    expect(await json('version')).toMatchObject({ althing: version, node: process.versions.node })
  })

  it('cli: a home that is a file, a folder in the place of a file → a failure with the path and never a stack', async () => {
    writeFileSync(home, '')
    const file = await cli('init')
    expect(file.code).toBe(1)
    expect(file.stderr).toContain(home)
    expect(file.stderr).not.toContain('a bug in althing')
    mkdirSync(join(folder.path, 'h2', 'config.toml'), { recursive: true })
    const directory = await althing(join(folder.path, 'h2'), ['config', 'show'])
    expect(directory.code).toBe(1)
    expect(directory.stderr).not.toContain('a bug in althing')
  })

  it('cli: the completion script for bash → bash completes commands, subcommands and options with it', async () => {
    const { stdout, code } = await cli('completion', 'bash')
    expect(code).toBe(0)
    const complete = (...words: string[]): string[] => {
      const line = words.map((word) => `'${word}'`).join(' ')
      const script = `${stdout}\nCOMP_WORDS=(althing ${line}); COMP_CWORD=${words.length}; _althing; printf '%s\\n' "\${COMPREPLY[@]}"`
      return spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim().split('\n')
    }
    expect(complete('ke')).toEqual(['keys'])
    expect(complete('keys', 'ex')).toEqual(['export'])
    expect(complete('keys', 'export', '--o')).toEqual(['--out'])
    expect((await cli('completion', 'fish')).stdout).toContain(
      "complete -c althing -n '__fish_use_subcommand' -f -a keys",
    )
    expect((await cli('completion', 'csh')).code).toBe(64)
  })
})
