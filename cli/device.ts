/**
 * Stage: the operator. `althing device list | show | trust | history | register`, asked of a node’s API. Registering acts in the name of an
 * API key.
 */
import type { Command } from 'commander'
import { showAnswer } from './answers.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readText } from './files.ts'

const REGISTRATION_BYTES_MAX = 64 * 1024

type RegisterOptions = ClientOptions & {
  publicKey?: string
  segment?: string
  hardwareId?: string
  manufacturer?: string
  model?: string
  firmware?: string
  capability?: string[]
  mode?: string
}

type HistoryOptions = ClientOptions & { limit?: string; cursor?: string }

/** `althing device`. */
export function registerDevice(program: Command, context: CommandContext): void {
  const device = program.command('device').description('look at devices and register them')
  clientCommand(device, 'list')
    .description('list the devices')
    .action(async (options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['devices'] }), [
        'id',
        'status',
        'manufacturer',
        'model',
        'segment',
      ])
    })
  clientCommand(device, 'show')
    .argument('<id>', 'address of the device')
    .description('show one device')
    .action(async (id: string, options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['devices', id] }))
    })
  clientCommand(device, 'trust')
    .argument('<id>', 'address of the device')
    .description('show the trust in a device, who thinks what of it, and why it is cut off')
    .action(async (id: string, options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['devices', id, 'trust'] }))
    })
  clientCommand(device, 'history')
    .argument('<id>', 'address of the device')
    .option('--limit <n>', 'points at most: 1 to 100 (default: 20)')
    .option('--cursor <next>', '`next` of the page before')
    .description('list how the trust in a device moved, newest first')
    .action(async (id: string, options: HistoryOptions) => {
      const client = await clientOf(context, options, 'read')
      const { limit, cursor } = options
      showAnswer(
        context.output,
        await client.json({ segments: ['devices', id, 'trust', 'history'], query: { limit, cursor } }),
        ['height', 'time', 'status', 'trustPpm', 'thresholdPpm', 'raters', 'below'],
      )
    })
  clientCommand(device, 'register')
    .argument('[file]', 'JSON file that describes the device, in the place of the options; - for standard input')
    .description('register a device (on the device, `althing rtu id` prints the whole command)')
    .option('--public-key <hex>', 'key of the device: 66 hexadecimal digits')
    .option('--segment <name>', 'network segment that it is in')
    .option('--hardware-id <text>', 'serial number or the like')
    .option('--manufacturer <text>', 'who made it')
    .option('--model <text>', 'what it is')
    .option('--firmware <text>', 'what runs on it')
    .option('--capability <word>', 'what it can do, such as modbus.read; may be repeated', collect)
    .option('--mode <mode>', 'enforce: may be cut off; observe: is only scored (default: enforce)')
    .action(async (file: string | undefined, options: RegisterOptions) => {
      const json = file === undefined ? registrationGiven(options) : await registrationIn(context, file, options)
      const client = await clientOf(context, options, 'write')
      showAnswer(context.output, await client.json({ method: 'POST', segments: ['devices'], json }))
    })
}

const collect = (word: string, before: string[] = []): string[] => [...before, word]

const FIELDS = ['publicKey', 'segment', 'hardwareId', 'manufacturer', 'model', 'firmware'] as const

const optionOf = (field: string): string => `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

function registrationGiven(options: RegisterOptions): object {
  const missing = FIELDS.filter((field) => options[field] === undefined)
  if (missing.length > 0)
    throw new CommandError(
      'REGISTRATION_INCOMPLETE',
      EXIT.usage,
      'a registration needs a file, or all of its options',
      {
        problems: missing.map((field) => ({ where: optionOf(field), what: 'is missing' })),
      },
    )
  const { capability: capabilities = [], mode = 'enforce' } = options
  return { ...Object.fromEntries(FIELDS.map((field) => [field, options[field]])), capabilities, mode }
}

async function registrationIn(context: CommandContext, file: string, options: RegisterOptions): Promise<unknown> {
  const given = [...FIELDS, 'capability', 'mode'].filter((field) => field in options)
  if (given.length > 0)
    throw new CommandError('REGISTRATION_INCOMPLETE', EXIT.usage, 'a registration needs a file or options, not both', {
      problems: given.map((field) => ({ where: optionOf(field), what: `is given beside ${file}` })),
    })
  const text =
    file === '-' ? await context.readStdin(REGISTRATION_BYTES_MAX) : await readText(file, REGISTRATION_BYTES_MAX)
  return parseJson(text, file)
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new CommandError('INPUT_MALFORMED', EXIT.badData, `${file === '-' ? 'standard input' : file} is not JSON`, {
      cause,
    })
  }
}
