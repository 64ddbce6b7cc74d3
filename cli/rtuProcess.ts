/**
 * Stage: the operator. The process of an RTU, into which `althing rtu` turns: the entry of the bundle. As little as possible is loaded.
 * Arguments: --home, --set and --until-stdin-closes, as of `althing`; they were checked before. Standard error: logs, and why it ended.
 */
import { parseArgs } from 'node:util'
import { CommandContext, type Surroundings } from './context.ts'
import { describeError } from './failure.ts'
import { readRtuHome, registerCommand, registrationOf } from './rtuHome.ts'

/** Runs the RTU of the home of `context` until a signal; its exit code. */
export async function runRtuOf(context: CommandContext, untilStdinCloses: boolean): Promise<number> {
  const home = await readRtuHome(context)
  const { runRtu } = await import('../node/rtu/daemon.ts')
  const advice = `If it is not registered, have a member run: ${registerCommand(await registrationOf(home))}`
  return runRtu({ ...home, advice, ...(untilStdinCloses ? { aliveWhile: context.surroundings.stdin } : {}) })
}

async function runProcess(surroundings: Surroundings): Promise<number> {
  const { values } = parseArgs({
    options: {
      home: { type: 'string' },
      set: { type: 'string', multiple: true },
      'until-stdin-closes': { type: 'boolean' },
    },
  })
  const set = Object.fromEntries(
    (values.set ?? []).map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]),
  )
  const context = new CommandContext(surroundings, () => ({
    ...(values.home === undefined ? {} : { home: values.home }),
    set,
  }))
  try {
    return await runRtuOf(context, values['until-stdin-closes'] === true)
  } catch (error) {
    const { text, exitCode } = describeError(error)
    surroundings.stderr(`${text}\n`)
    return exitCode
  }
}

if (import.meta.main) {
  const { env: environment, stdin } = process
  const exitCode = await runProcess({
    environment,
    stdin,
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
  })
  // libp2p may leave something open; what had to be on disk is.
  process.exit(exitCode)
}
