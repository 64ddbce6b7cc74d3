/**
 * RTU, monitor `processes`: which executables run, compared with those that ran while the baseline was learnt.
 * Besides the file's outer marks, which whoever may write it can forge, the beginning of each executable is hashed in rotation; and a known
 * program that is started by another one than ever before is a finding of its own.
 * Invariants: kernel threads are known by the kernel's own flag, not by name; nothing of a command line or environment is ever read;
 * at most `processesMax` processes and `executablesMax` executables. What lives and dies between two cycles is not seen, nor what a
 * known interpreter is given to run.
 */
import { integer, list, optional, record, text } from '../../../protocol/codec.ts'
import { attempt, type FileFacts, type Machine, textOf } from '../machine.ts'
import { blindOf, cannotSee, detailOf, type Finding, type Monitor, worstFindings } from '../monitor.ts'

/** Bounds of the monitor. */
export type ProcessesOptions = {
  readonly processesMax: number
  readonly executablesMax: number
  /** Bytes of one executable that are hashed, and of all in one cycle; four times as much while learning. */
  readonly hashBytesMax: number
}
/** Enough for a large server; a baseline of that size is under 1 MiB. */
export const PROCESSES_DEFAULTS: ProcessesOptions = {
  processesMax: 8192,
  executablesMax: 2048,
  hashBytesMax: 1024 * 1024,
}

/** An executable file as it was: any difference means another file, or other content. */
type ExecutableIdentity = {
  /** SHA-256 of its first `hashBytesMax` bytes, hexadecimal; null while it was not its turn. */
  readonly digest?: string | null
  readonly device: number
  readonly inode: number
  readonly sizeBytes: number
  readonly modifiedMs: number
}
/** `executables`: path → the files seen there (several where containers share a path). A process whose executable may not be read stands under `?name`. */
export type ProcessesBaseline = {
  readonly executables: ReadonlyMap<string, readonly ExecutableIdentity[]>
  /** Path → paths of the programs that started it. */
  readonly parents: ReadonlyMap<string, readonly string[]>
  /** Of the last cycles, not kept on disk: the last path hashed, and what was found there to be otherwise. */
  readonly hashedLast: string
  readonly altered: ReadonlySet<string>
  /** Last process looked at where the time ran out, so that the next cycle begins behind it. Not kept on disk. */
  readonly resumeAfterPid: number
}
/** One process of user space. `executable` null: the system refuses to say. */
export type ProcessSeen = {
  readonly pid: number
  /** At most 15 bytes, chosen by the process itself. */
  readonly name: string
  /** 0 where it has none here, as in a container. */
  readonly parentPid: number
  readonly startTicks: number
  readonly executable: {
    readonly path: string
    readonly deleted: boolean
    readonly identity: ExecutableIdentity
  } | null
}

const IDENTITIES_MAX = 16
const PARENTS_MAX = 16
const KERNEL_THREAD = 0x0020_0000
const PATH_CHARACTERS_MAX = 4096
const BATCH = 32

const baselineCodec = list(
  record({
    path: text(PATH_CHARACTERS_MAX),
    identities: list(
      record({
        device: integer(),
        inode: integer(),
        sizeBytes: integer(),
        modifiedMs: integer(Number.MIN_SAFE_INTEGER),
        digest: optional(text(64, { min: 64, pattern: /^[0-9a-f]+$/ })),
      }),
      IDENTITIES_MAX,
    ),
    parents: list(text(PATH_CHARACTERS_MAX), PARENTS_MAX),
  }),
  1_000_000,
)

/** Monitor of processes. */
export const processesMonitor = (options: ProcessesOptions = PROCESSES_DEFAULTS): Monitor<ProcessesBaseline> => ({
  name: 'processes',
  categories: ['process.unknown', 'process.changed', 'process.parent'],
  empty: () => ({
    executables: new Map(),
    parents: new Map(),
    hashedLast: '',
    altered: new Set(),
    resumeAfterPid: 0,
  }),
  async observe(machine, baseline, turn) {
    const listed = attempt(() => machine.readdir('/proc', options.processesMax + 1024))
    if ('refusal' in listed)
      return { findings: [], baseline, blind: cannotSee('processes', '/proc', listed.refusal), counts: {} }
    const pids = listed.value.names.filter((name) => /^[1-9][0-9]{0,9}$/.test(name)).map(Number)
    if (pids.length === 0)
      return { findings: [], baseline, blind: cannotSee('processes', '/proc/<pid>', 'ENOENT'), counts: {} }
    const cut = listed.value.truncated || pids.length > options.processesMax
    const order = [
      ...pids.filter((pid) => pid > baseline.resumeAfterPid),
      ...pids.filter((pid) => pid <= baseline.resumeAfterPid),
    ]
    const seen: ProcessSeen[] = []
    let looked = 0
    for (const pid of order.slice(0, options.processesMax)) {
      if (looked > 0 && looked % BATCH === 0) {
        await turn.pause()
        if (machine.monotonicMs() > turn.deadlineMs) break
      }
      const process = readProcess(machine, pid)
      if (process !== undefined) seen.push(process)
      looked++
    }
    const complete = looked >= pids.length
    // What nobody installs is not learnt: an intruder that is there already is reported and does not become the baseline.
    const suspects = turn.learning ? seen.filter(isSuspect) : []
    const usual = turn.learning ? seen.filter((process) => !isSuspect(process)) : seen
    const learnt = turn.learning ? learnProcesses(usual, baseline.executables, options.executablesMax) : undefined
    const parents = turn.learning ? learnParents(usual, baseline.parents, options.executablesMax) : baseline.parents
    const hashed = hashNext(
      machine,
      usual,
      learnt?.executables ?? baseline.executables,
      baseline,
      turn.learning,
      options,
    )
    const { executables } = hashed
    const findings = turn.learning
      ? scoreProcesses(suspects, executables)
      : [
          ...scoreProcesses(seen, executables),
          ...alteredFindings(seen, hashed.altered),
          ...scoreParents(seen, executables, parents),
        ]
    const opaque = seen.filter((process) => process.executable === null).length
    return {
      findings: worstFindings(findings),
      baseline: {
        ...{ executables, parents, hashedLast: hashed.hashedLast, altered: hashed.altered },
        resumeAfterPid: complete ? 0 : (order[looked - 1] ?? 0),
      },
      blind: blindOf([
        cut ? `more than ${options.processesMax} processes` : null,
        complete ? null : `time for ${looked} of ${pids.length} processes only`,
        opaque > 0 ? `the executables of ${opaque} of ${seen.length} processes may not be read` : null,
        pids.includes(1) ? null : 'processes of other users are hidden',
        learnt?.full === true ? `more than ${options.executablesMax} executables to learn` : null,
      ]),
      counts: {
        // Of a part only, a count would look like a fall.
        ...(complete ? { processCount: seen.length } : {}),
        processUnknownCount: findings.filter(({ category }) => category !== 'process.parent').length,
        executableCount: executables.size,
      },
    }
  },
  toDisk: (baseline) =>
    baselineCodec.to(
      [...baseline.executables].map(([path, identities]) => ({
        path,
        identities: identities.map((one) => ({ ...one, digest: one.digest ?? null })),
        parents: baseline.parents.get(path) ?? [],
      })),
    ),
  fromDisk(json) {
    const entries = baselineCodec.from(json as never, 'processes').slice(0, options.executablesMax)
    return {
      executables: new Map(entries.map(({ path, identities }) => [path, identities])),
      parents: new Map(entries.map(({ path, parents }) => [path, parents])),
      hashedLast: '',
      altered: new Set(),
      resumeAfterPid: 0,
    }
  },
})

/** Process `pid` of user space; undefined if it is a kernel thread, a zombie or gone. */
export function readProcess(machine: Machine, pid: number): ProcessSeen | undefined {
  const status = attempt(() => machine.readFile(`/proc/${pid}/stat`, 2048))
  if ('refusal' in status) return undefined
  const parsed = parseProcessStat(textOf(status.value))
  if (parsed === undefined || parsed.kernelThread || parsed.zombie) return undefined
  const { name, parentPid, startTicks } = parsed
  const link = attempt(() => machine.readlink(`/proc/${pid}/exe`))
  const facts = attempt(() => machine.stat(`/proc/${pid}/exe`))
  const refusal = 'refusal' in link ? link.refusal : 'refusal' in facts ? facts.refusal : undefined
  if (refusal === 'ENOENT' || refusal === 'ESRCH') return undefined
  if ('refusal' in link || 'refusal' in facts) return { pid, name, parentPid, startTicks, executable: null }
  return { pid, name, parentPid, startTicks, executable: executableOf(link.value, facts.value) }
}

function executableOf(link: string, facts: FileFacts): NonNullable<ProcessSeen['executable']> {
  // The suffix alone could be part of a name; the number of links cannot be faked.
  const deleted = facts.links === 0
  const path = (deleted ? link.replace(/ \(deleted\)$/, '') : link).slice(0, PATH_CHARACTERS_MAX).toWellFormed()
  const { device, inode, sizeBytes, modifiedMs } = facts
  return { path, deleted, identity: { device, inode, sizeBytes, modifiedMs } }
}

/** Fields of /proc/<pid>/stat (proc_pid_stat(5)): the name may hold spaces and parentheses, so the last `)` ends it. */
export function parseProcessStat(
  line: string,
): { name: string; zombie: boolean; kernelThread: boolean; parentPid: number; startTicks: number } | undefined {
  const open = line.indexOf('(')
  const close = line.lastIndexOf(')')
  if (open < 0 || close < open) return undefined
  const fields = line.slice(close + 2).split(' ')
  const flags = Number(fields[6])
  const startTicks = Number(fields[19])
  const parentPid = Number(fields[1])
  if (!Number.isSafeInteger(parentPid) || !Number.isSafeInteger(flags) || !Number.isSafeInteger(startTicks))
    return undefined
  const state = fields[0]
  return {
    name: line.slice(open + 1, close).toWellFormed(),
    zombie: state === 'Z' || state === 'X',
    kernelThread: Math.floor(flags / KERNEL_THREAD) % 2 === 1,
    parentPid,
    startTicks,
  }
}

const keyOf = (process: ProcessSeen): string => process.executable?.path ?? `?${process.name}`
const sameFile = (a: ExecutableIdentity, b: ExecutableIdentity): boolean =>
  a.device === b.device && a.inode === b.inode && a.sizeBytes === b.sizeBytes && a.modifiedMs === b.modifiedMs

/** `executables` with those of `seen`; `full` where one did not fit. Gives the same map where there was nothing to add. */
export function learnProcesses(
  seen: readonly ProcessSeen[],
  executables: ProcessesBaseline['executables'],
  executablesMax: number,
): { executables: ProcessesBaseline['executables']; full: boolean } {
  const learnt = new Map(executables)
  let changed = false
  let full = false
  for (const process of seen) {
    const key = keyOf(process)
    const known = learnt.get(key)
    const identity = process.executable?.identity
    if (known !== undefined && (identity === undefined || known.some((one) => sameFile(one, identity)))) continue
    if (known === undefined ? learnt.size >= executablesMax : known.length >= IDENTITIES_MAX) {
      full = true
      continue
    }
    learnt.set(key, [...(known ?? []), ...(identity === undefined ? [] : [identity])])
    changed = true
  }
  return { executables: changed ? learnt : executables, full }
}

/** Paths of the programs that started those of `seen`. Who has lost its parent is init's, which any program may become, so init is none. */
function parentsOf(seen: readonly ProcessSeen[]): Map<string, Map<string, ProcessSeen>> {
  const byPid = new Map(seen.map((process) => [process.pid, process]))
  const found = new Map<string, Map<string, ProcessSeen>>()
  for (const process of seen) {
    const parent = process.parentPid > 1 ? byPid.get(process.parentPid) : undefined
    if (parent?.executable == null || process.executable === null) continue
    const started = found.get(process.executable.path) ?? new Map<string, ProcessSeen>()
    started.set(parent.executable.path, process)
    found.set(process.executable.path, started)
  }
  return found
}

function learnParents(
  seen: readonly ProcessSeen[],
  parents: ProcessesBaseline['parents'],
  executablesMax: number,
): ProcessesBaseline['parents'] {
  const learnt = new Map(parents)
  for (const [path, by] of parentsOf(seen)) {
    if (!learnt.has(path) && learnt.size >= executablesMax) continue
    learnt.set(path, [...new Set([...(learnt.get(path) ?? []), ...by.keys()])].slice(0, PARENTS_MAX))
  }
  return learnt
}

// What an intruder runs first: a shell under a service that never had one.
const SHELL = /\/(?:ba|da|a|k|z|tc|c)?sh$|\/busybox$|\/(?:python|perl|ruby|php|lua|node)[0-9.]*$/

/** Findings about known programs that were started by others than those of the baseline. Of programs with many starters nothing is said. */
function scoreParents(
  seen: readonly ProcessSeen[],
  executables: ProcessesBaseline['executables'],
  parents: ProcessesBaseline['parents'],
): readonly Finding[] {
  const findings: Finding[] = []
  for (const [path, by] of parentsOf(seen)) {
    const known = parents.get(path) ?? []
    if (!executables.has(path) || known.length >= PARENTS_MAX) continue
    for (const [parent, process] of by) {
      if (known.includes(parent)) continue
      const isShell = SHELL.test(path)
      findings.push({
        category: 'process.parent',
        subject: `${path} < ${parent}`,
        severityPpm: isShell ? 600_000 : 400_000,
        // Five minutes of learning see few of all honest ways to start a program.
        confidencePpm: isShell ? 500_000 : 300_000,
        detail: detailOf(
          `${process.name} (pid ${process.pid}) was started by ${parent}, which never did in the baseline`,
        ),
      })
    }
  }
  return findings
}

type Hashed = Pick<ProcessesBaseline, 'executables' | 'hashedLast' | 'altered'>

/** Hashes the beginnings of the executables whose turn it is; while learning they are kept, afterwards compared. */
function hashNext(
  machine: Machine,
  seen: readonly ProcessSeen[],
  executables: ProcessesBaseline['executables'],
  before: Pick<ProcessesBaseline, 'hashedLast' | 'altered'>,
  learning: boolean,
  { hashBytesMax }: ProcessesOptions,
): Hashed {
  const byPath = new Map<string, ProcessSeen>()
  for (const process of seen) if (process.executable !== null) byPath.set(process.executable.path, process)
  const paths = [...byPath.keys()].sort()
  const start = paths.findIndex((path) => path > before.hashedLast)
  const changed = new Map(executables)
  const altered = new Set([...before.altered].filter((path) => byPath.has(path)))
  let hashedLast = before.hashedLast
  let budget = learning ? 4 * hashBytesMax : hashBytesMax
  for (let i = 0; i < paths.length && budget > 0; i++) {
    const path = paths[((start < 0 ? 0 : start) + i) % paths.length] as string
    const process = byPath.get(path) as ProcessSeen
    const identity = (process.executable as NonNullable<ProcessSeen['executable']>).identity
    const known = changed.get(path) ?? []
    const at = known.findIndex((one) => sameFile(one, identity))
    if (at < 0 || (learning && known[at]?.digest != null)) continue
    const content = attempt(() => machine.digest(`/proc/${process.pid}/exe`, hashBytesMax))
    hashedLast = path
    if ('refusal' in content) continue
    const { digest, bytes } = content.value
    budget -= Math.max(4096, bytes)
    const learntDigest = known[at]?.digest ?? null
    if (learning) changed.set(path, known.with(at, { ...identity, digest }))
    else if (learntDigest !== null && learntDigest !== digest) altered.add(path)
    else altered.delete(path)
  }
  return { executables: learning ? changed : executables, hashedLast, altered }
}

const alteredFindings = (seen: readonly ProcessSeen[], altered: ReadonlySet<string>): readonly Finding[] =>
  [...altered].flatMap((path) => {
    const process = seen.find(({ executable }) => executable?.path === path)
    if (process === undefined) return []
    const detail = detailOf(
      `${process.name} (pid ${process.pid}) runs a file with other content under the same marks: ${path}`,
    )
    return [
      {
        category: 'process.changed',
        subject: `${path} (content)`,
        severityPpm: 900_000,
        confidencePpm: 950_000,
        detail,
      },
    ]
  })

/** Findings about `seen` against what was learnt: one per executable, naming one of its processes. */
export function scoreProcesses(
  seen: readonly ProcessSeen[],
  executables: ProcessesBaseline['executables'],
): readonly Finding[] {
  const findings = new Map<string, Finding>()
  for (const process of seen) {
    const finding = scoreProcess(process, executables)
    if (finding !== undefined && !findings.has(finding.subject)) findings.set(finding.subject, finding)
  }
  return [...findings.values()]
}

// Where programs are dropped rather than installed: anyone may write there, or nothing ever lay on a disk.
const DROP_ZONE = /^\/(?:tmp|var\/tmp|dev\/shm|run\/shm|memfd:)/

/** What no learning makes ordinary: a program that anyone may have dropped, or whose file never lay on a disk. */
const isSuspect = ({ executable }: ProcessSeen): boolean => executable !== null && DROP_ZONE.test(executable.path)

function scoreProcess(process: ProcessSeen, executables: ProcessesBaseline['executables']): Finding | undefined {
  const { executable, name, pid } = process
  const known = executables.get(keyOf(process))
  if (executable === null) {
    if (known !== undefined) return undefined
    // Only the name is known, and a process chooses its own.
    const detail = detailOf(`process ${name} (pid ${pid}) did not run in the baseline; its executable may not be read`)
    return { category: 'process.unknown', subject: `?${name}`, severityPpm: 400_000, confidencePpm: 400_000, detail }
  }
  const { path, deleted, identity } = executable
  if (known === undefined) {
    const severityPpm = DROP_ZONE.test(path) ? 900_000 : deleted ? 800_000 : 600_000
    const suffix = deleted ? ', whose file is deleted,' : ''
    const detail = detailOf(`${name} (pid ${pid})${suffix} runs an executable unknown to the baseline: ${path}`)
    return { category: 'process.unknown', subject: path, severityPpm, confidencePpm: 900_000, detail }
  }
  if (known.some((one) => sameFile(one, identity))) {
    return deleted ? deletedFinding(process, path) : undefined
  }
  const detail = detailOf(`${name} (pid ${pid}) runs a changed executable: ${path}`)
  return { category: 'process.changed', subject: path, severityPpm: 700_000, confidencePpm: 850_000, detail }
}

function deletedFinding(process: ProcessSeen, path: string): Finding {
  // An upgrade under a running service looks the same, hence the low confidence.
  const detail = detailOf(`${process.name} (pid ${process.pid}) goes on running ${path}, which was deleted or replaced`)
  return {
    category: 'process.changed',
    subject: `${path} (deleted)`,
    severityPpm: 500_000,
    confidencePpm: 400_000,
    detail,
  }
}
