/**
 * Stage: the operator. `althing module`: security modules (docs/modules.md): check, publish, activate, approve, list, show.
 * Invariant: what is published has passed the host's checks here first.
 */
import { type Command, InvalidArgumentError } from 'commander'
import { fromHex, toHex } from '../protocol/bytes.ts'
import { sha3 } from '../protocol/crypto.ts'
import { moduleActivate, modulePublish } from '../protocol/kinds/module/module.ts'
import { LIMITS } from '../protocol/limits.ts'
import { VERDICTS } from '../protocol/verdict.ts'
import { showAnswer } from './answers.ts'
import { submitAsMember } from './asMember.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readBytes } from './files.ts'
import { record, show } from './output.ts'

/** Blocks between an activation and its height where nothing else is said: time for the others to approve. */
const BLOCKS_AHEAD = 1000

/** `althing module`. */
export function registerModule(program: Command, context: CommandContext): void {
  const module = program.command('module').description('look at the security modules, and publish and activate them')
  module
    .command('check')
    .argument('<file>', 'WebAssembly binary')
    .description('say whether a binary may run as a security module, its kind and its hash; needs no running node')
    .action(async (file: string) => {
      const { code: _code, ...facts } = await checked(file)
      show(context.output, facts, record)
    })
  clientCommand(module, 'publish')
    .argument('<file>', 'WebAssembly binary')
    .requiredOption('--version <version>', 'of this kind of module, such as 1.2.0', parseVersion)
    .description('publish a module as this member; nothing runs it before a quorum has activated it')
    .action(async (file: string, options: ClientOptions & { version: string }) => {
      const { kind, code } = await checked(file)
      const payload = { kind, version: options.version, code }
      showAnswer(context.output, await submitAsMember(context, options, modulePublish, payload))
    })
  clientCommand(module, 'activate')
    .argument('<hash>', 'hash of the module in hexadecimal', parseHash)
    .option('--at-height <height>', `first block whose reports it judges (default: ${BLOCKS_AHEAD} ahead)`, parseHeight)
    .description('approve, as this member, that a module judges reports from a height on')
    .action(async (hash: Uint8Array, options: ClientOptions & { atHeight?: number }) => {
      const height = options.atHeight ?? (await headHeight(context, options)) + BLOCKS_AHEAD
      showAnswer(context.output, await submitAsMember(context, options, moduleActivate, { hash, height }))
    })
  clientCommand(module, 'approve')
    .argument('<hash>', 'hash of the module in hexadecimal', parseHash)
    .description('approve what other members have asked for with `activate`: the same module from the same height on')
    .action(async (hash: Uint8Array, options: ClientOptions) => {
      const height = await heightAsked(context, options, toHex(hash))
      showAnswer(context.output, await submitAsMember(context, options, moduleActivate, { hash, height }))
    })
  clientCommand(module, 'list')
    .description('list the modules that were published')
    .action(async (options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      const columns = ['hash', 'kind', 'version', 'byteCount', 'height', 'active', 'activeFrom', 'votes', 'needed']
      showAnswer(context.output, await client.json({ segments: ['modules'], query: { limit: '100' } }), columns)
    })
  clientCommand(module, 'show')
    .argument('<hash>', 'hash of the module in hexadecimal', parseHash)
    .description('show a module')
    .action(async (hash: Uint8Array, options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['modules', toHex(hash)] }))
    })
}

/** What `file` holds. CommandError MODULE_UNUSABLE with the host's code. */
async function checked(file: string) {
  const { SecurityModule } = await import('../node/modules/host.ts')
  const code = await readBytes(file, LIMITS.moduleBytesMax)
  const module = SecurityModule.load(code)
  if (typeof module === 'string')
    throw new CommandError('MODULE_UNUSABLE', EXIT.badData, `${file} may not run: ${module}`, {
      advice: VERDICTS[module].text,
    })
  return { hash: toHex(sha3(code)), kind: module.kind, byteCount: code.length, code }
}

async function headHeight(context: CommandContext, options: ClientOptions): Promise<number> {
  const client = await clientOf(context, options, 'read')
  const answer = (await client.json({ segments: ['blocks'], query: { limit: '1' } })) as {
    items?: { height?: unknown }[]
  } | null
  const height = answer?.items?.[0]?.height ?? 0
  if (typeof height === 'number') return height
  throw new CommandError('API_ANSWER', EXIT.badData, 'the answer is no list of blocks')
}

/** The one height for which members want `hash` to run. */
async function heightAsked(context: CommandContext, options: ClientOptions, hash: string): Promise<number> {
  const client = await clientOf(context, options, 'read')
  const answer = (await client.json({ segments: ['modules', hash] })) as { votes?: { height?: unknown }[] } | null
  const heights = [...new Set((answer?.votes ?? []).map(({ height }) => height))]
  const [height] = heights
  if (heights.length === 1 && typeof height === 'number') return height
  throw new CommandError(
    'MODULE_HEIGHTS',
    EXIT.usage,
    heights.length === 0
      ? 'no member asks for this module'
      : `members ask for it from the heights ${heights.join(', ')}`,
    { advice: 'Say which: `althing module activate <hash> --at-height <height>`.' },
  )
}

function parseHash(text: string): Uint8Array {
  if (/^[0-9a-f]{64}$/.test(text)) return fromHex(text)
  throw new InvalidArgumentError('It must be 64 lower-case hexadecimal digits.')
}

function parseVersion(text: string): string {
  if (/^[\w.+-]{1,32}$/.test(text)) return text
  throw new InvalidArgumentError('It must be 1 to 32 letters, digits, dots, plus and minus signs.')
}

function parseHeight(text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be the height of a block.')
}
