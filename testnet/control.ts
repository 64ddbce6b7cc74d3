/**
 * Stage: the operator. The control socket, by which a second terminal acts on a running testnet: one line of JSON there, one back.
 * Invariants: the sockets lie in a folder that only this user can enter (0700, owner checked), so no secret is needed; paths stay short, as
 * Unix sockets need; a socket whose testnet is gone is removed by whoever notices.
 */
import { lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { CommandError, EXIT, type ExitCode } from '../cli/failure.ts'
import { isAlive } from '../node/alive.ts'

const VERBS = ['kill', 'pause', 'resume', 'restart', 'stop', 'status'] as const
type Verb = (typeof VERBS)[number]
/** One request; `name` for all but `stop` and `status`. */
export type ControlRequest = { readonly verb: Verb; readonly name?: string }
/** The answer: what was done, in words, or why not. */
export type ControlAnswer =
  | { readonly ok: true; readonly text: string; readonly data?: unknown }
  | { readonly ok: false; readonly code: string; readonly text: string; readonly advice?: string }

const LINE_CHARACTERS_MAX = 256 * 1024
const ANSWER_TIMEOUT_MS = 40_000

/** The folder of this user's sockets. */
const runFolder = (): string => join(tmpdir(), `althing-testnet-${process.getuid?.() ?? 'user'}`)

/** Makes and checks that folder. CommandError TESTNET_RUN_FOLDER (exit 77) if it belongs to somebody else or is open to others. */
export async function ensureRunFolder(): Promise<string> {
  const folder = runFolder()
  await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  const entry = await lstat(folder)
  if (!entry.isDirectory() || (process.getuid !== undefined && entry.uid !== process.getuid()) || entry.mode & 0o077)
    throw new CommandError('TESTNET_RUN_FOLDER', EXIT.permission, `${folder} is not this user's alone`, {
      advice: 'Remove it, or set TMPDIR to a folder of your own.',
    })
  return folder
}

/** Serves requests at a socket of its own until it is closed. `folder` is what clients name with --dir. */
export class ControlServer {
  readonly #server: Server
  readonly #path: string
  readonly #connections = new Set<Socket>()

  private constructor(server: Server, path: string) {
    this.#server = server
    this.#path = path
  }

  /** `answer` never throws anything but bugs. */
  static async listen(
    folder: string,
    answer: (request: ControlRequest) => Promise<ControlAnswer>,
  ): Promise<ControlServer> {
    const path = join(await ensureRunFolder(), `${process.pid}.sock`)
    await rm(path, { force: true })
    const server = createServer()
    const control = new ControlServer(server, path)
    server.on('connection', (socket) => {
      control.#connections.add(socket)
      socket.on('close', () => control.#connections.delete(socket)).on('error', () => socket.destroy())
      void readLine(socket).then(async (line) => {
        const request = line === undefined ? undefined : parseRequest(line)
        if (request === undefined) socket.destroy()
        else socket.end(`${JSON.stringify({ folder, ...(await answer(request)) })}\n`)
      })
    })
    await new Promise<void>((done, failed) => {
      server.once('error', failed)
      server.listen(path, done)
    })
    return control
  }

  /** Stops listening; answers that are under way are given first, for 2 s at most. */
  async close(): Promise<void> {
    const closed = new Promise<void>((done) => this.#server.close(() => done()))
    const timer = setTimeout(() => {
      for (const socket of this.#connections) socket.destroy()
    }, 2000)
    await closed
    clearTimeout(timer)
    await rm(this.#path, { force: true })
  }
}

function parseRequest(line: string): ControlRequest | undefined {
  try {
    const { verb, name } = JSON.parse(line) as { verb?: unknown; name?: unknown }
    if (!(VERBS as readonly unknown[]).includes(verb)) return undefined
    if (name !== undefined && (typeof name !== 'string' || name.length > 64)) return undefined
    return name === undefined ? { verb: verb as Verb } : { verb: verb as Verb, name }
  } catch {
    return undefined
  }
}

// The first line that comes; undefined if the other side ends before, or sends too much.
function readLine(socket: Socket): Promise<string | undefined> {
  return new Promise((done) => {
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (part: string) => {
      text += part
      const end = text.indexOf('\n')
      if (end >= 0) done(text.slice(0, end))
      else if (text.length > LINE_CHARACTERS_MAX) {
        done(undefined)
        socket.destroy()
      }
    })
    socket.on('close', () => done(undefined))
  })
}

type Answered = ControlAnswer & { readonly folder: string }

function ask(path: string, request: ControlRequest): Promise<Answered | undefined> {
  return new Promise((done) => {
    const socket = createConnection(path)
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy())
    socket.on('error', () => done(undefined))
    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`))
    void readLine(socket).then((line) => {
      socket.destroy()
      done(line === undefined ? undefined : (JSON.parse(line) as Answered))
    })
  })
}

/**
 * Finds the one testnet of this user that runs (in `folder`, if given) and asks it. CommandErrors: TESTNET_NOT_FOUND (exit 69),
 * TESTNET_AMBIGUOUS (exit 64) where several run and none is named, and what the testnet itself refused.
 */
export async function askTestnet(
  folder: string | undefined,
  request: ControlRequest,
): Promise<Answered & { ok: true }> {
  const wanted = folder === undefined ? undefined : resolve(folder)
  const directory = await ensureRunFolder()
  const running: { path: string; folder: string }[] = []
  for (const file of await readdir(directory)) {
    if (!file.endsWith('.sock')) continue
    const path = join(directory, file)
    const status = await ask(path, { verb: 'status' })
    if (status !== undefined) running.push({ path, folder: status.folder })
    else if (!isAlive(Number(file.slice(0, -'.sock'.length)))) await rm(path, { force: true })
  }
  const matching = wanted === undefined ? running : running.filter((one) => one.folder === wanted)
  if (matching.length === 0)
    throw new CommandError(
      'TESTNET_NOT_FOUND',
      EXIT.unavailable,
      wanted === undefined ? 'no testnet of yours is running' : `no testnet is running in ${wanted}`,
      {
        advice:
          running.length === 0
            ? 'Start one in another terminal: `npm start`, or `althing testnet`.'
            : `Running are: ${running.map((one) => one.folder).join(', ')}.`,
      },
    )
  if (matching.length > 1)
    throw new CommandError('TESTNET_AMBIGUOUS', EXIT.usage, 'more than one testnet of yours is running', {
      advice: `Say which with --dir: ${matching.map((one) => one.folder).join(', ')}.`,
    })
  const answer = await ask((matching[0] as { path: string }).path, request)
  if (answer === undefined)
    throw new CommandError('TESTNET_NOT_FOUND', EXIT.unavailable, 'the testnet ended before it answered')
  if (answer.ok) return answer
  const exitCode: ExitCode = answer.code === 'TESTNET_NAME' ? EXIT.usage : EXIT.failure
  throw new CommandError(answer.code, exitCode, answer.text, { advice: answer.advice })
}
