/**
 * RTU, monitor `files`: content, owner and mode of watched paths, compared with those of the baseline.
 * Invariants: only regular files are read, at most `fileBytesMax` of each; a file is hashed when its size, times or inode change and, since
 * those can be forged, also in rotation, `recheckBytesMax` of content in each cycle; a watched directory stands for the regular files
 * directly in it; at most `filesMax` files.
 */
import { boolean, integer, list, optional, record, type TypeOf, text } from '../../../protocol/codec.ts'
import { attempt, type FileFacts, type Machine } from '../machine.ts'
import { blindOf, detailOf, type Finding, type Monitor, type Turn, worstFindings } from '../monitor.ts'

/** What is watched, and bounds. `paths`: absolute, files or directories. */
export type FilesOptions = {
  readonly paths: readonly string[]
  readonly filesMax: number
  /** Beyond this the beginning is hashed, and the size compared. */
  readonly fileBytesMax: number
  readonly recheckBytesMax: number
}
/** Accounts, rights, remote access, periodic jobs, name service and what is loaded into every process. */
export const FILES_DEFAULTS: FilesOptions = {
  paths: [
    '/etc/passwd',
    '/etc/shadow',
    '/etc/group',
    '/etc/sudoers',
    '/etc/sudoers.d',
    '/etc/ssh/sshd_config',
    '/etc/ssh/sshd_config.d',
    '/root/.ssh/authorized_keys',
    '/etc/crontab',
    '/etc/cron.d',
    '/etc/hosts',
    '/etc/nsswitch.conf',
    '/etc/ld.so.preload',
    '/etc/systemd/system',
    '/etc/rc.local',
  ],
  filesMax: 512,
  fileBytesMax: 1024 * 1024,
  recheckBytesMax: 256 * 1024,
}

const PATH_CHARACTERS_MAX = 1024
const fileCodec = record({
  path: text(PATH_CHARACTERS_MAX),
  present: boolean,
  /** SHA-256 of the first `fileBytesMax` bytes in hexadecimal; null where it may not be read. */
  digest: optional(text(64, { min: 64, pattern: /^[0-9a-f]+$/ })),
  sizeBytes: integer(),
  mode: integer(0, 0o7777),
  userId: integer(),
  groupId: integer(),
})
/** A watched file as it was at one moment. */
export type WatchedFile = TypeOf<typeof fileCodec>
const baselineCodec = list(fileCodec, 1_000_000)

/** `learnt`: path → file of the baseline. `last`: what the last cycle hashed, under which outer marks; not kept on disk. */
export type FilesBaseline = {
  readonly learnt: ReadonlyMap<string, WatchedFile>
  readonly last: ReadonlyMap<string, { readonly marks: string; readonly digest: string | null }>
  /** Place in the rotation. */
  readonly cursor: number
}

/** Monitor of watched files. */
export const filesMonitor = (options: FilesOptions = FILES_DEFAULTS): Monitor<FilesBaseline> => ({
  name: 'files',
  categories: ['file.content', 'file.mode'],
  empty: () => ({ learnt: new Map(), last: new Map(), cursor: 0 }),
  async observe(machine, baseline, turn) {
    const listing = listWatched(machine, baseline.learnt, options)
    const scan = await scanFiles(machine, listing.paths, baseline, options, turn)
    const learnt = turn.learning ? learnFiles(scan.files, baseline.learnt) : baseline.learnt
    const findings = turn.learning ? [] : scoreFiles(scan.files, learnt)
    const changed = new Set(findings.map(({ subject }) => subject)).size
    return {
      findings: worstFindings(findings),
      baseline: { learnt, last: scan.last, cursor: scan.cursor },
      blind: blindOf([
        listing.cut ? `more than ${options.filesMax} watched files` : null,
        scan.looked < listing.paths.length
          ? `time for ${scan.looked} of ${listing.paths.length} watched files only`
          : null,
        scan.unreadable > 0 ? `${scan.unreadable} watched files may not be read` : null,
        scan.partly > 0
          ? `${scan.partly} watched files are hashed in their first ${options.fileBytesMax} bytes only`
          : null,
      ]),
      counts: {
        watchedFileCount: scan.files.filter(({ present }) => present).length,
        watchedFileChangedCount: changed,
      },
    }
  },
  toDisk: (baseline) => baselineCodec.to([...baseline.learnt.values()]),
  fromDisk(json) {
    const files = baselineCodec.from(json as never, 'files').slice(0, options.filesMax)
    return { learnt: new Map(files.map((file) => [file.path, file])), last: new Map(), cursor: 0 }
  },
})

/** Paths to look at: those of the options, the files directly in directories among them, and those of the baseline that are gone since. */
function listWatched(
  machine: Machine,
  learnt: FilesBaseline['learnt'],
  { paths, filesMax }: FilesOptions,
): { paths: readonly string[]; cut: boolean } {
  const listed = new Set<string>()
  let cut = false
  const add = (path: string): void => {
    if (listed.size < filesMax && path.length <= PATH_CHARACTERS_MAX && path.isWellFormed()) listed.add(path)
    else if (!listed.has(path)) cut = true
  }
  // What was learnt comes first: filling a watched directory with files must not push the old ones out of sight.
  for (const path of learnt.keys()) add(path)
  for (const path of paths) {
    const facts = attempt(() => machine.stat(path))
    if ('refusal' in facts || facts.value.kind !== 'directory') {
      add(path)
      continue
    }
    const content = attempt(() => machine.readdir(path, filesMax))
    if ('refusal' in content) continue
    cut ||= content.value.truncated
    for (const name of content.value.names) {
      const child = `${path === '/' ? '' : path}/${name}`
      if (listed.has(child)) continue
      const childFacts = attempt(() => machine.stat(child))
      if ('value' in childFacts && childFacts.value.kind === 'file') add(child)
    }
  }
  return { paths: [...listed], cut }
}

type Scan = {
  files: WatchedFile[]
  looked: number
  last: Map<string, { marks: string; digest: string | null }>
  cursor: number
  unreadable: number
  partly: number
}

async function scanFiles(
  machine: Machine,
  paths: readonly string[],
  baseline: FilesBaseline,
  { fileBytesMax, recheckBytesMax }: FilesOptions,
  turn: Turn,
): Promise<Scan> {
  const scan: Scan = { files: [], looked: 0, last: new Map(), cursor: baseline.cursor, unreadable: 0, partly: 0 }
  let recheckBytes = 0
  // Rotation: begins where the last cycle's allowance ended, so that every file has its turn, the first after the last.
  const start = paths.length === 0 ? 0 : baseline.cursor % paths.length
  for (let i = 0; i < paths.length; i++) {
    const at = (start + i) % paths.length
    const path = paths[at] as string
    scan.looked++
    const stated = attempt(() => machine.stat(path))
    if ('refusal' in stated || stated.value.kind !== 'file') {
      const gone = 'value' in stated || stated.refusal === 'ENOENT' || stated.refusal === 'ENOTDIR'
      if (gone) scan.files.push({ path, present: false, digest: null, sizeBytes: 0, mode: 0, userId: 0, groupId: 0 })
      else scan.unreadable++
      continue
    }
    const facts = stated.value
    const marks = marksOf(facts)
    const before = baseline.last.get(path)
    const bytes = Math.min(facts.sizeBytes, fileBytesMax)
    let digest = before?.digest ?? null
    if (before?.marks !== marks) digest = digestOf(machine, path, fileBytesMax)
    else if (recheckBytes + bytes <= recheckBytesMax || recheckBytes === 0) {
      recheckBytes += Math.max(1, bytes)
      digest = digestOf(machine, path, fileBytesMax)
      scan.cursor = at + 1
    }
    scan.last.set(path, { marks, digest })
    if (digest === null) scan.unreadable++
    else if (facts.sizeBytes > fileBytesMax) scan.partly++
    const { sizeBytes, mode, userId, groupId } = facts
    scan.files.push({ path, present: true, digest, sizeBytes, mode, userId, groupId })
    if (i % 32 === 31) {
      await turn.pause()
      if (machine.monotonicMs() > turn.deadlineMs) {
        scan.cursor = at + 1
        break
      }
    }
  }
  return scan
}

const marksOf = ({ device, inode, sizeBytes, modifiedMs, changedMs }: FileFacts): string =>
  `${device} ${inode} ${sizeBytes} ${modifiedMs} ${changedMs}`

function digestOf(machine: Machine, path: string, bytesMax: number): string | null {
  const content = attempt(() => machine.digest(path, bytesMax))
  return 'refusal' in content ? null : content.value.digest
}

function learnFiles(files: readonly WatchedFile[], learnt: FilesBaseline['learnt']): FilesBaseline['learnt'] {
  const next = new Map(learnt)
  for (const file of files) next.set(file.path, file)
  return next
}

/** Findings about `files` against what was learnt; a file that was not there to learn counts as new. */
export function scoreFiles(files: readonly WatchedFile[], learnt: FilesBaseline['learnt']): readonly Finding[] {
  return files.flatMap((file) => scoreFile(file, learnt.get(file.path)))
}

const octal = (mode: number): string => mode.toString(8).padStart(4, '0')

function scoreFile(file: WatchedFile, known: WatchedFile | undefined): readonly Finding[] {
  const { path } = file
  const finding = (
    category: 'file.content' | 'file.mode',
    severityPpm: number,
    confidencePpm: number,
    text: string,
  ): Finding => ({ category, subject: path, severityPpm, confidencePpm, detail: detailOf(text) })
  if (known === undefined || !known.present)
    return file.present ? [finding('file.content', 700_000, 950_000, `a new file is watched: ${path}`)] : []
  if (!file.present) return [finding('file.content', 800_000, 950_000, `a watched file is gone: ${path}`)]
  const findings: Finding[] = []
  const comparable = file.digest !== null && known.digest !== null
  if (
    comparable ? file.digest !== known.digest || file.sizeBytes !== known.sizeBytes : file.sizeBytes !== known.sizeBytes
  )
    findings.push(
      finding(
        'file.content',
        800_000,
        comparable ? 950_000 : 700_000,
        `the content of a watched file changed: ${path}`,
      ),
    )
  if (file.mode !== known.mode || file.userId !== known.userId || file.groupId !== known.groupId) {
    // Set-uid, set-gid or writable for all, where it was not: a door, and not just a difference.
    const gained = file.mode & ~known.mode & 0o6002
    const words = `${octal(known.mode)} ${known.userId}:${known.groupId} → ${octal(file.mode)} ${file.userId}:${file.groupId}`
    findings.push(
      finding('file.mode', gained !== 0 ? 900_000 : 600_000, 950_000, `mode or owner changed (${words}): ${path}`),
    )
  }
  return findings
}
