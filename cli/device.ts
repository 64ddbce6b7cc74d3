/** Stage: the operator. `althing device list | show | register`, asked of a node's API. Registering acts in the name of an API key. */
import type { Command } from 'commander'
import { showAnswer } from './answers.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readText } from './files.ts'

const REGISTRATION_BYTES_MAX = 64 * 1024

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
  clientCommand(device, 'register')
    .argument('<file>', 'JSON file that describes the device; - for standard input')
    .description('register a device')
    .action(async (file: string, options: ClientOptions) => {
      const text =
        file === '-' ? await context.readStdin(REGISTRATION_BYTES_MAX) : await readText(file, REGISTRATION_BYTES_MAX)
      const json = parseJson(text, file)
      const client = await clientOf(context, options, 'write')
      showAnswer(context.output, await client.json({ method: 'POST', segments: ['devices'], json }))
    })
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
