/**
 * Stage: the operator. `althing rtu`: watch this machine as a light peer; `althing rtu id`: who the device is, and how it is registered;
 * `althing rtu status`: what the running one sees and thinks.
 * Invariant: the running RTU is one process: this one is replaced, since a second one would cost a device 60 MB for nothing.
 */
import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Command } from 'commander'
import type { CommandContext } from './context.ts'
import { record, show } from './output.ts'
import { replaceProcess } from './replace.ts'
import { readRtuHome, registerCommand, registrationOf } from './rtuHome.ts'

/**
 * Flags of V8 for a small process (node/rtu/README.md has the figures): a small heap that is collected early, one thread for the collector,
 * and no compilers beside the interpreter, whose code and data cost more here than they save. They can only be given when a process begins.
 */
const NODE_FLAGS = [
  '--max-semi-space-size=1',
  '--initial-old-space-size=10',
  '--max-old-space-size=64',
  '--single-threaded-gc',
  '--v8-pool-size=1',
  '--optimize-for-size',
  '--no-opt',
  '--no-maglev',
  '--no-sparkplug',
]
/** One arena for the C library's memory in the place of eight per processor. */
const SMALL = { MALLOC_ARENA_MAX: '1' }

/** `althing rtu`. */
export function registerRtu(program: Command, context: CommandContext): void {
  const rtu = program
    .command('rtu')
    .description('run this device: watch the machine and report to its members, until SIGTERM or Ctrl-C')
    .option('--until-stdin-closes', 'stop when standard input closes: for programs that start it and may die')
    .action((options: { untilStdinCloses?: boolean }) => run(context, options.untilStdinCloses === true))
  rtu
    .command('id')
    .description('print who this device is, and the command by which a member registers it')
    .action(() => printIdentity(context))
  rtu
    .command('status')
    .description('print what the running RTU of this home sees, whom it hears, and how far it trusts its peers')
    .action(async () => {
      const { dataDirectory } = await readRtuHome(context)
      const { askRtu, renderRtuStatus } = await import('./rtuStatus.ts')
      show(context.output, await askRtu(dataDirectory), renderRtuStatus)
    })
}

async function printIdentity(context: CommandContext): Promise<void> {
  const home = await readRtuHome(context)
  const registration = await registrationOf(home)
  const command = registerCommand(registration)
  show(context.output, { device: home.device, registration, command }, () =>
    [
      record({ device: home.device, 'public key': registration.publicKey, segment: registration.segment }),
      '',
      'A member registers it with this command (look over what the machine says of itself):',
      command,
    ].join('\n'),
  )
}

async function run(context: CommandContext, untilStdinCloses: boolean): Promise<void> {
  // What is wrong is said here, before anything is replaced.
  await readRtuHome(context)
  const script = await processFile()
  const words = [
    ...['--home', context.home.folder],
    ...Object.entries(context.flags).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
    ...(untilStdinCloses ? ['--until-stdin-closes'] : []),
  ]
  replaceProcess(NODE_FLAGS, script, words, { ...SMALL, ...context.environment })
  // Windows cannot replace a process: it runs here, and takes more memory.
  const { runRtuOf } = await import('./rtuProcess.ts')
  context.exitCode = await runRtuOf(context, untilStdinCloses)
}

/** The bundle: that of the package, in a checkout one made now; or the modules one by one where there is none. */
async function processFile(): Promise<string> {
  const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
  const isPackage = import.meta.url.endsWith('.js')
  const bundle = here(isPackage ? '../rtu.mjs' : '../node_modules/.cache/althing/rtu.mjs')
  try {
    if (!isPackage) await promisify(execFile)(process.execPath, [here('../build/rtu.ts'), bundle])
    await access(bundle)
    return bundle
  } catch {
    return here(isPackage ? './rtuProcess.js' : './rtuProcess.ts')
  }
}
