/** The package as it is installed: packed, unpacked into a project of its own beside the packages it needs, and used from there. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeProofFiles } from './cli/proofFiles.ts'

const ROOT = new URL('../', import.meta.url).pathname
const project = mkdtempSync(join(tmpdir(), 'althing-package-'))
const installed = join(project, 'node_modules', 'althing')
const home = join(project, 'home')
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
let contents: string[]

beforeAll(() => {
  // npm runs on whatever Node.js is first on the PATH; `npm run` puts ours there.
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` }
  execFileSync('npm', ['pack', '--silent', '--pack-destination', project], { cwd: ROOT, env, stdio: 'pipe' })
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', join(project, `althing-${version}.tgz`), '-C', installed, '--strip-components=1'])
  contents = readdirSync(installed, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1))
  // What npm would install beside it: the direct dependencies. They find theirs where they are.
  const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(project, 'node_modules', name)), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules', name), join(project, 'node_modules', name))
  }
}, 60_000)
afterAll(() => rmSync(project, { recursive: true, force: true }))

const run = (...words: string[]): { code: number | null; stdout: string; stderr: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(installed, 'bin/althing.js'), ...words], {
    cwd: project,
    env: { PATH: process.env['PATH'], ALTHING_HOME: home, NO_COLOR: '1' },
    encoding: 'utf8',
  })
  return { code: status, stdout, stderr }
}

describe('package', () => {
  it('package: holds what is run and read, no source and no test', () => {
    const kinds = new Set(contents.map((path) => path.replace(/^(dist|docs)\/.*?(\.d\.ts|\.[a-z]+)$/, '$1/*$2')))
    expect([...kinds].sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'bin/althing.js',
      'dist/*.d.ts',
      'dist/*.js',
      'dist/*.mjs',
      'dist/*.wasm',
      'docs/*.md',
      'docs/*.svg',
      'npm-shrinkwrap.json',
      'package.json',
    ])
    expect(contents.filter((path) => /\btest\b|\.test\./.test(path))).toEqual([])
    expect(contents.filter((path) => path.endsWith('.d.ts') && !path.startsWith('dist/protocol/'))).toEqual([])
  })

  it('package: names the exact packages that it was tested with', () => {
    expect(readFileSync(join(installed, 'npm-shrinkwrap.json'), 'utf8')).toBe(
      readFileSync(join(ROOT, 'package-lock.json'), 'utf8'),
    )
    expect(readdirSync(ROOT)).not.toContain('npm-shrinkwrap.json')
  })

  it('package: version, init and config check work from there', () => {
    expect(JSON.parse(run('version', '--json').stdout)).toMatchObject({ althing: version, node: process.versions.node })
    expect(run('init')).toMatchObject({ code: 0, stderr: '' })
    expect(run('config', 'check')).toMatchObject({ code: 0, stderr: '' })
  })

  it('package: proof verify says yes to a true proof and no to a false one', async () => {
    const { genesis, transaction } = await writeProofFiles(project)
    expect(run('proof', 'verify', transaction, '--genesis', genesis)).toMatchObject({ code: 0, stderr: '' })
    expect(run('proof', 'verify', transaction).code).toBe(2)
  })

  it('package: start serves and stops', async () => {
    const ports = ['network.listen=/ip4/127.0.0.1/tcp/0', 'api.listen=127.0.0.1:0', 'metrics.listen=127.0.0.1:0']
    const child = spawn(
      process.execPath,
      [join(installed, 'bin/althing.js'), 'start', '--until-stdin-closes', ...ports.flatMap((one) => ['--set', one])],
      { cwd: project, env: { PATH: process.env['PATH'], ALTHING_HOME: home, ALTHING_LOG_FORMAT: 'json' } },
    )
    let log = ''
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
    const serving = new Promise<void>((resolve) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        log += text
        if (/"msg":"serving"/.test(log)) resolve()
      })
    })
    await Promise.race([serving, ended])
    child.stdin.end()
    expect(await ended, log).toBe(0)
    expect(log).toContain('"msg":"serving"')
  })

  it('package: the threads that recover signers find their file', () => {
    const script = [
      `const at = (path) => import(${JSON.stringify(`${installed}/dist/`)} + path)`,
      "const { SignaturePool } = await at('node/crypto/pool.js')",
      "const { publicKeyOf, sha3, signDigest } = await at('protocol/crypto.js')",
      'const [secret, digest] = [new Uint8Array(32).fill(7), sha3(new Uint8Array(1))]',
      'const pool = new SignaturePool()',
      'const [key] = await pool.recover([{ digest, signature: signDigest(digest, secret) }])',
      'console.log(Buffer.compare(key, publicKeyOf(secret)))',
      'await pool.close()',
    ].join('\n')
    const file = join(project, 'threads.mjs')
    writeFileSync(file, script)
    const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8' })
    expect([stdout, stderr]).toEqual(['0\n', ''])
  })

  it('package: the bundle of an RTU is in it and runs', () => {
    const words = [join(installed, 'dist/rtu.mjs'), '--home', join(project, 'nowhere')]
    const { status, stderr } = spawnSync(process.execPath, words, { cwd: project, encoding: 'utf8' })
    expect(status).toBe(78)
    expect(stderr).toContain('code: NOT_INITIALISED\n')
  })

  it('package: every module of it loads', () => {
    const modules = contents.filter((path) => path.endsWith('.js') && path.startsWith('dist/') && !/testnet/.test(path))
    expect(modules.length).toBeGreaterThan(100)
    const script = `for (const path of ${JSON.stringify(modules)}) await import(${JSON.stringify(`${installed}/`)} + path)\nprocess.exit(0)`
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
  })

  it('package: outside programs can import the files of protocol/, with types, and nothing else', () => {
    const source = join(project, 'checker.ts')
    writeFileSync(
      source,
      [
        "import { parseProof, type Proof } from 'althing/protocol/proof.js'",
        "import { KINDS } from 'althing/protocol/kinds/table.js'",
        "const read: { ok: true; proof: Proof } | { ok: false; problem: string } = parseProof('x')",
        'console.log(read.ok, [...KINDS.keys()].length > 5)',
        "await import('althing/dist/node/main.js' as string).catch((error: { code: string }) => console.log(error.code))",
      ].join('\n'),
    )
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }')
    const tsc = [
      join(ROOT, 'node_modules/typescript/bin/tsc'),
      '--strict',
      '--skipLibCheck',
      'false',
      '--target',
      'es2024',
    ]
    const types = ['--module', 'nodenext', '--lib', 'es2024,dom', '--types', '', source]
    expect(spawnSync(process.execPath, [...tsc, ...types], { cwd: project, encoding: 'utf8' }).stdout).toBe('')
    const { stdout } = spawnSync(process.execPath, [source.replace(/\.ts$/, '.js')], { encoding: 'utf8' })
    expect(stdout).toBe('false true\nERR_PACKAGE_PATH_NOT_EXPORTED\n')
  })

  it('package: on an older Node.js → one clear line and exit 69', () => {
    // The version is asked for before anything is imported, so that naming another one is enough.
    const older = 'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.1.0" } })'
    const words = ['--import', `data:text/javascript,${older}`, join(installed, 'bin/althing.js'), 'version']
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' })
    expect([status, stdout]).toEqual([69, ''])
    expect(stderr).toMatch(/^althing: needs Node\.js 24 or later, this is v[^\n]*\n$/)
  })

  it('checkout: runs its sources, whatever a build has left in dist/', () => {
    const checkout = join(project, 'checkout')
    for (const [path, says] of [
      ['cli/main.ts', 'source'],
      ['dist/cli/main.js', 'stale'],
    ] as const) {
      mkdirSync(dirname(join(checkout, path)), { recursive: true })
      writeFileSync(join(checkout, path), `export const runProcess = async () => console.log('${says}')\n`)
    }
    mkdirSync(join(checkout, 'bin'))
    writeFileSync(join(checkout, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(checkout, 'bin/althing.js'), readFileSync(join(ROOT, 'bin/althing.js')))
    const { stdout } = spawnSync(process.execPath, [join(checkout, 'bin/althing.js')], { encoding: 'utf8' })
    expect(stdout).toBe('source\n')
  })
})
