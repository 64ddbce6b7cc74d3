/**
 * Stage: the operator. `althing debug bundle`: what someone who looks for a fault wants to see, in one file that can be sent to them.
 * Invariants: files with keys are read only to take what they hold out of everything else; settings hold no secrets, and whatever looks like a
 * token is taken out all the same; a part that cannot be had is named, and the rest is there.
 */
import { mkdir, open, readdir, stat } from 'node:fs/promises'
import { arch, cpus, freemem, release, totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Command } from 'commander'
import { inHome } from '../config/home.ts'
import { settingValue, tomlValue } from '../config/render.ts'
import { SETTING_ROWS } from '../config/settings.ts'
import { AlthingError } from '../node/errors.ts'
import { althingVersion } from '../node/version.ts'
import { clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readTextIfThere } from './files.ts'
import { show } from './output.ts'
import { type ArchiveFile, tarOf } from './tar.ts'

const FILE_CHARACTERS_MAX = 1024 * 1024
const LOG_BYTES = 1024 * 1024
const ASK_TIMEOUT_MS = 5000

/** `althing debug`. */
export function registerDebug(program: Command, context: CommandContext): void {
  const debug = program.command('debug').description('help those who look for a fault')
  debug
    .command('bundle')
    .requiredOption('--out <file>', 'new file to write (.tar.gz)')
    .option('--log <file>', 'file into which the log of the node goes; its last MiB is put in')
    .description(
      'gather settings, status, health, metrics, versions, log and sizes of the database; secrets are taken out',
    )
    .action((options: { out: string; log?: string }) => bundle(context, options))
}

async function bundle(context: CommandContext, { out, log }: { out: string; log?: string }): Promise<void> {
  const file = resolve(out)
  const missing: string[] = []
  const files: ArchiveFile[] = []
  const add = async (name: string, read: () => Promise<string>): Promise<void> => {
    try {
      files.push({ name, text: await read() })
    } catch (error) {
      const why = error instanceof AlthingError ? `${error.message} (${error.code})` : String(error)
      missing.push(`${name}: ${why}`)
    }
  }
  context.output.remark('althing: gathering')
  await add('versions.json', async () => json(machine()))
  await add('settings.txt', () => settings(context))
  await add(
    'genesis.json',
    async () => (await readTextIfThere(context.home.genesisFile, FILE_CHARACTERS_MAX)) ?? 'none',
  )
  await add('database.json', () => database(context))
  for (const [name, segments] of [
    ['status.json', ['status']],
    ['log.json', ['log']],
  ] as const)
    await add(name, async () => {
      const client = await clientOf(context, {}, 'operate')
      return json(await client.json({ segments }))
    })
  await add('health.json', () => fromRun(context, 'api', '/healthz'))
  await add('metrics.txt', () => fromRun(context, 'metrics', '/metrics'))
  if (log !== undefined) await add('log.txt', () => tail(log))
  files.push({ name: 'missing.txt', text: missing.length === 0 ? 'nothing\n' : `${missing.join('\n')}\n` })
  const redact = redactorOf(await secretsOf(context))
  const clean = files.map(({ name, text }) => ({ name: `althing-debug/${name}`, text: redact(text) }))
  await writeNew(file, gzipSync(tarOf(clean, Date.now())))
  show(context.output, { file, files: clean.map(({ name }) => name), missing }, () =>
    [
      `wrote ${file}: ${files.map(({ name }) => name).join(', ')}`,
      ...missing.map((one) => `not in it: ${one}`),
      'Keys, tokens and the token secret are not in it. Addresses, names and the public genesis are: look through it before you send it.',
    ].join('\n'),
  )
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

const machine = (): object => ({
  althing: althingVersion(),
  node: process.versions.node,
  v8: process.versions.v8,
  platform: `${process.platform} ${release()} ${arch()}`,
  processors: cpus().map(({ model }) => model),
  memoryBytes: { total: totalmem(), free: freemem() },
  at: new Date().toISOString(),
})

/** As they are in force, without the text of config.toml: a comment in it may hold anything. */
async function settings(context: CommandContext): Promise<string> {
  const { config, origins } = await context.config()
  return SETTING_ROWS.map(
    (row) => `${row.name} = ${tomlValue(row, settingValue(config, row))}  # ${origins.get(row.name)?.source}\n`,
  ).join('')
}

/** Files and bytes of each folder of the data directory. */
async function database(context: CommandContext): Promise<string> {
  const { config } = await context.config()
  const directory = inHome(context.home, config.node.dataDir)
  const folders: Record<string, { files: number; bytes: number }> = {}
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    const found = { files: 0, bytes: 0 }
    for (const one of await readdir(join(directory, entry.name), { recursive: true, withFileTypes: true })) {
      if (!one.isFile()) continue
      found.files++
      // The database may remove a file in between.
      found.bytes += (await stat(join(one.parentPath, one.name)).catch(() => undefined))?.size ?? 0
    }
    folders[entry.name] = found
  }
  return json(folders)
}

/** What the running node answers at `path` of the address that run.json gives. */
async function fromRun(context: CommandContext, what: 'api' | 'metrics', path: string): Promise<string> {
  const text = await readTextIfThere(join(context.home.folder, 'run.json'), FILE_CHARACTERS_MAX)
  const url = text === undefined ? undefined : (JSON.parse(text) as Record<string, unknown>)[what]
  if (typeof url !== 'string') throw new Error('the node does not run')
  const answer = await fetch(new URL(path, url), { signal: AbortSignal.timeout(ASK_TIMEOUT_MS), redirect: 'error' })
  return (await answer.text()).slice(0, FILE_CHARACTERS_MAX)
}

/** The last bytes of a log file. */
async function tail(file: string): Promise<string> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    const length = Math.min(size, LOG_BYTES)
    const buffer = Buffer.alloc(length)
    await handle.read(buffer, 0, length, size - length)
    return buffer.toString('utf8')
  } finally {
    await handle.close()
  }
}

/** Everything secret that lies in this home, as text. */
async function secretsOf(context: CommandContext): Promise<string[]> {
  const { home } = context
  const secrets: string[] = []
  const folders = await readdir(home.keysFolder, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = folders.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const { config } = await context.config()
  for (const file of new Set([...files, inHome(home, config.api.tokenSecretFile)])) {
    const text = await readTextIfThere(file, FILE_CHARACTERS_MAX)
    if (text !== undefined) secrets.push(...text.split(/\s+/).filter((word) => word.length >= 16))
  }
  return secrets
}

/** Takes `secrets` out of a text in whatever form they may stand there, and whatever has the form of a token. */
export function redactorOf(secrets: readonly string[]): (text: string) => string {
  const forms = new Set<string>()
  for (const secret of secrets) {
    const readings = [Buffer.from(secret), ...(/^(?:[0-9a-f]{2})+$/i.test(secret) ? [Buffer.from(secret, 'hex')] : [])]
    forms.add(secret)
    for (const bytes of readings)
      for (const form of ['hex', 'base64', 'base64url'] as const) forms.add(bytes.toString(form).replace(/=+$/, ''))
    for (const bytes of readings) forms.add(bytes.toString('hex').toUpperCase())
  }
  return (text) => {
    let clean = text
    for (const form of forms) clean = clean.replaceAll(form, '[removed]')
    return clean
      .replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, '[removed]')
      .replace(/\b(Bearer|Basic)\s+(?!\[removed\])[\w.~+/=-]+/gi, '$1 [removed]')
  }
}

async function writeNew(file: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const handle = await open(file, 'wx', 0o600).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EEXIST') throw cause
    throw new CommandError('FILE_EXISTS', EXIT.failure, `${file} exists and is not overwritten`, { cause })
  })
  try {
    await handle.writeFile(bytes)
  } finally {
    await handle.close()
  }
}
