/**
 * Stage: the operator. `althing member`, `althing param`, `althing proposal`: who is a member and by which rules, and changing it by a quorum
 * (agreement.md §5.5). A change is proposed with the key of this member and approved by others; the last approval that it takes carries it out.
 */
import { type Command, InvalidArgumentError } from 'commander'
import { readKeyFile } from '../node/crypto/keys.ts'
import { fromHex, toHex } from '../protocol/bytes.ts'
import { CborError } from '../protocol/cbor.ts'
import { chainIdOf } from '../protocol/genesis.ts'
import { governanceApprove, governancePropose, governanceWithdraw } from '../protocol/kinds/governance/governance.ts'
import { type Change, consentBytes } from '../protocol/kinds/governance/record.ts'
import { PARAMETER_NAMES, type ParameterChanges, type Parameters } from '../protocol/members.ts'
import { sign } from '../protocol/signature.ts'
import { showAnswer } from './answers.ts'
import { memberNamed, presentMembers, submitAsMember } from './asMember.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import { type CommandContext, chainIdText } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readText } from './files.ts'
import { show } from './output.ts'

const REQUEST_BYTES_MAX = 16 * 1024
const DAY_MS = 24 * 3_600_000

/** Options of commands that propose. */
export type ProposeOptions = ClientOptions & { days: number; reason: string }

/** `althing member`. */
export function registerMember(program: Command, context: CommandContext): void {
  const member = program.command('member').description('look at the members, and propose to change them')
  clientCommand(member, 'list')
    .description('list the members of the present era')
    .action(async (options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['members'] }), ['name', 'publicKey', 'addresses'])
    })
  clientCommand(member, 'evidence')
    .description('list what members signed that no honest member signs, as the chain records it')
    .option('--member <key>', 'of the member with this public key alone')
    .action(async (options: ClientOptions & { member?: string }) => {
      const client = await clientOf(context, options, 'read')
      const query = { limit: '100', ...(options.member === undefined ? {} : { member: options.member }) }
      const columns = ['name', 'member', 'kind', 'era', 'view', 'height', 'transaction']
      showAnswer(context.output, await client.json({ segments: ['evidence'], query }), columns)
    })
  member
    .command('request')
    .description('print the request of this home to become a member, for a member to propose; needs no running node')
    .requiredOption('--name <name>', 'name of the new member')
    .option('--address <multiaddr>', 'where its node listens, as others reach it; may be repeated', collect, [])
    .action(async ({ name, address }: { name: string; address: string[] }) =>
      show(context.output, await joinRequest(context, context.home.nodeKeyFile, name, address), (value) =>
        JSON.stringify(value, null, 2),
      ),
    )
  proposing(member, 'add')
    .argument('<file>', 'request of the new member, as `althing member request` printed it; - for standard input')
    .description('propose a new member')
    .action(async (file: string, options: ProposeOptions) => {
      const { name, publicKey, addresses, consent } = await readRequest(context, file)
      await propose(context, options, { kind: 'add', publicKey, name, addresses, consent })
    })
  proposing(member, 'remove')
    .argument('<member>', 'name or public key')
    .description('propose to remove a member')
    .action(async (wanted: string, options: ProposeOptions) => {
      const { publicKey } = memberNamed(await presentMembers(await clientOf(context, options, 'read')), wanted)
      await propose(context, options, { kind: 'remove', publicKey: fromHex(publicKey) })
    })
  proposing(member, 'replace')
    .argument('<member>', 'name or public key')
    .argument('<file>', 'request with the new key, made under the same name; - for standard input')
    .description('propose another key for a member (a member that has its key proposes it with `althing keys rotate`)')
    .action(async (wanted: string, file: string, options: ProposeOptions) => {
      const { publicKey: by, addresses, consent } = await readRequest(context, file)
      const { publicKey } = memberNamed(await presentMembers(await clientOf(context, options, 'read')), wanted)
      await propose(context, options, { kind: 'replace', publicKey: fromHex(publicKey), by, addresses, consent })
    })
}

/** `althing param`. */
export function registerParam(program: Command, context: CommandContext): void {
  const param = program.command('param').description('look at the parameters of the era, and propose to change them')
  clientCommand(param, 'list')
    .description('list the parameters of the present era')
    .action(async (options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      const answer = (await client.json({ segments: ['members'] })) as { parameters?: unknown } | null
      showAnswer(context.output, answer?.parameters ?? {})
    })
  proposing(param, 'set')
    .argument('<name=value...>', `one or more of ${PARAMETER_NAMES.join(', ')}`)
    .description('propose other values of parameters, all in one change')
    .action(async (assignments: string[], options: ProposeOptions) =>
      propose(context, options, { kind: 'parameters', values: valuesOf(assignments) }),
    )
}

/** `althing proposal`. */
export function registerProposal(program: Command, context: CommandContext): void {
  const proposal = program
    .command('proposal')
    .description('look at the open proposals, approve them, take back own ones')
  clientCommand(proposal, 'list')
    .description('list the open proposals')
    .action(async (options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      const query = { limit: '100' }
      const columns = ['id', 'change', 'approvals', 'needed', 'expired', 'reason']
      showAnswer(context.output, await client.json({ segments: ['proposals'], query }), columns)
    })
  clientCommand(proposal, 'show')
    .argument('<id>', 'id in hexadecimal')
    .description('show an open proposal')
    .action(async (id: string, options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['proposals', id] }))
    })
  clientCommand(proposal, 'approve')
    .argument('<id>', 'id in hexadecimal', parseId)
    .description('approve a proposal as this member; the approval that makes a quorum carries it out')
    .action(async (id: Uint8Array, options: ClientOptions) =>
      showAnswer(context.output, await submitAsMember(context, options, governanceApprove, { proposal: id })),
    )
  clientCommand(proposal, 'withdraw')
    .argument('<id>', 'id in hexadecimal', parseId)
    .description('take back a proposal of this member before it is carried out')
    .action(async (id: Uint8Array, options: ClientOptions) =>
      showAnswer(context.output, await submitAsMember(context, options, governanceWithdraw, { proposal: id })),
    )
}

/** A subcommand of `parent` that proposes a change. */
export const proposing = (parent: Command, name: string): Command =>
  clientCommand(parent, name)
    .option('--days <n>', 'days for which it stays open, 1 to 30', parseDays, 7)
    .option('--reason <text>', 'for the other members', '')

/** Proposes `change` as this member and prints what became of it; its id is that of the proposal. */
export async function propose(
  context: CommandContext,
  options: ClientOptions & Partial<Pick<ProposeOptions, 'days' | 'reason'>>,
  change: Change,
): Promise<void> {
  const { era } = await presentMembers(await clientOf(context, options, 'read'))
  // A minute less than the days, so that 30 of them are within the limit whatever the clocks of the members say.
  const expiresAt = Date.now() + (options.days ?? 7) * DAY_MS - 60_000
  const payload = { era, change, expiresAt, reason: options.reason ?? '' }
  showAnswer(context.output, await submitAsMember(context, options, governancePropose, payload))
}

/** A request to become a member, or to take over from a member's key: signed by the new key, and no secret. */
export type JoinRequest = {
  readonly chainId: string
  readonly name: string
  readonly publicKey: string
  readonly addresses: readonly string[]
  readonly consent: string
}

/** The request of the key in `keyFile`. CommandError PAYLOAD_INVALID on a name or address that no member can have. */
export async function joinRequest(
  context: CommandContext,
  keyFile: string,
  name: string,
  addresses: readonly string[],
): Promise<JoinRequest> {
  const key = await readKeyFile(keyFile)
  const genesis = await context.genesis()
  try {
    const consent = sign('membership', chainIdOf(genesis), consentBytes(name, addresses), key.secretKey())
    return { chainId: chainIdText(genesis), name, publicKey: key.publicKeyHex, addresses, consent: toHex(consent) }
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause
    throw new CommandError('PAYLOAD_INVALID', EXIT.usage, `that is nothing to propose: ${cause.message}`, { cause })
  }
}

async function readRequest(
  context: CommandContext,
  file: string,
): Promise<{ name: string; publicKey: Uint8Array; addresses: readonly string[]; consent: Uint8Array }> {
  const text = file === '-' ? await context.readStdin(REQUEST_BYTES_MAX) : await readText(file, REQUEST_BYTES_MAX)
  const malformed = (cause?: unknown): CommandError =>
    new CommandError('INPUT_MALFORMED', EXIT.badData, `${file === '-' ? 'standard input' : file} is no request`, {
      cause,
      advice: 'Have it made with `althing member request` and pass it on unchanged.',
    })
  let request: Partial<JoinRequest>
  try {
    request = JSON.parse(text) as Partial<JoinRequest>
  } catch (cause) {
    throw malformed(cause)
  }
  const { chainId, name, publicKey, addresses, consent } = request ?? {}
  const isHex = (value: unknown, bytes: number): value is string =>
    typeof value === 'string' && value.length === 2 * bytes && /^[0-9a-f]*$/.test(value)
  if (typeof name !== 'string' || !isHex(publicKey, 33) || !isHex(consent, 65)) throw malformed()
  if (!Array.isArray(addresses) || !addresses.every((address) => typeof address === 'string')) throw malformed()
  if (chainId !== chainIdText(await context.genesis()))
    throw new CommandError('INPUT_MALFORMED', EXIT.badData, 'the request is for another network', {
      advice: 'Give the new member the genesis.json of this one.',
    })
  return { name, publicKey: fromHex(publicKey), addresses, consent: fromHex(consent) }
}

function valuesOf(assignments: readonly string[]): ParameterChanges {
  const values = Object.fromEntries(PARAMETER_NAMES.map((name) => [name, null])) as Record<
    keyof Parameters,
    number | null
  >
  for (const assignment of assignments) {
    const [, name, value] = /^(\w+)=([0-9]{1,15})$/.exec(assignment) ?? []
    if (
      name === undefined ||
      !(PARAMETER_NAMES as readonly string[]).includes(name) ||
      values[name as keyof Parameters] !== null
    )
      throw new CommandError(
        'PAYLOAD_INVALID',
        EXIT.usage,
        `${JSON.stringify(assignment)} sets no parameter, or one twice`,
        {
          advice: `Write name=value; the names are ${PARAMETER_NAMES.join(', ')}.`,
        },
      )
    values[name as keyof Parameters] = Number(value)
  }
  return values
}

/** Parser of an option that may be repeated. */
export const collect = (word: string, before: string[]): string[] => [...before, word]

function parseDays(text: string): number {
  if (/^[0-9]{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= 30) return Number(text)
  throw new InvalidArgumentError('It must be a whole number from 1 to 30.')
}

function parseId(text: string): Uint8Array {
  if (/^[0-9a-f]{64}$/.test(text)) return fromHex(text)
  throw new InvalidArgumentError('It must be 64 lower-case hexadecimal digits.')
}
