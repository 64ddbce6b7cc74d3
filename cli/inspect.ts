/** Stage: the operator. `althing inspect`: the reading half of the API over a stopped node's data, on loopback, until a signal. */
import { type Command, InvalidArgumentError } from 'commander'
import { inHome } from '../config/home.ts'
import type { CommandContext } from './context.ts'
import { show } from './output.ts'
import { tokenSecret } from './token.ts'

const portOf = (text: string): number => {
  const port = Number(text)
  if (/^[0-9]{1,5}$/.test(text) && port <= 65_535) return port
  throw new InvalidArgumentError('It must be a port from 0 to 65535.')
}

/** `althing inspect`. */
export function registerInspect(program: Command, context: CommandContext): void {
  program
    .command('inspect')
    .option('--port <port>', 'port on 127.0.0.1; 0 takes a free one (default: that of api.listen)', portOf)
    .option('--until-stdin-closes', 'stop when standard input closes: for programs that start it and may die')
    .description('answer the questions of the API from the data of a stopped node; nothing can be written')
    .action((options: { port?: number; untilStdinCloses?: boolean }) => inspect(context, options))
}

async function inspect(context: CommandContext, options: { port?: number; untilStdinCloses?: boolean }): Promise<void> {
  const { config } = await context.config()
  const genesis = await context.genesis()
  const secret = await tokenSecret(context, config)
  const { openInspection } = await import('../node/inspect/main.ts')
  const { untilSignal } = await import('../node/process.ts')
  context.output.remark('althing: opening the ledger; a large one takes a minute')
  const inspection = await openInspection({
    dataDirectory: inHome(context.home, config.node.dataDir),
    genesis,
    port: options.port ?? config.api.listen.port,
    requestsPerMinuteMax: config.api.requestsPerMinuteMax,
    tokenSecret: secret,
    issuer: config.api.issuer,
    audience: config.api.audience,
  })
  const { url, height } = inspection
  show(context.output, { url, height, pid: process.pid }, () =>
    [
      `inspecting a ledger of height ${height}; nothing is written`,
      `  API      ${url}/v1/status   (description: ${url}/docs)`,
      `  commands althing status --url ${url} --as <API key>`,
      'Ctrl-C ends it.',
    ].join('\n'),
  )
  try {
    await untilSignal(options.untilStdinCloses === true ? context.surroundings.stdin : undefined)
  } finally {
    await inspection.close()
  }
}
