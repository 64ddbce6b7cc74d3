/**
 * A machine made up in memory: a tree of files, links and processes under the test's control, behind the seam of `node/rtu/machine.ts`.
 * Invariant: it refuses as Linux does (ENOENT, EACCES, EINVAL) and counts what was read, so that tests can see what was not.
 */
import { createHash } from 'node:crypto'
import type { FileFacts, Machine } from '../../../node/rtu/machine.ts'

/** A file of the tree. `refuses`: the code that every access to it gives. */
export type FakeFile = Partial<FileFacts> & {
  readonly content?: string
  readonly target?: string
  readonly refuses?: string
}
/** A process of user space, or a kernel thread. */
export type FakeProcess = {
  readonly pid: number
  readonly name: string
  readonly executable?: string
  readonly facts?: Partial<FileFacts>
  readonly refuses?: string
  readonly kernelThread?: boolean
  readonly state?: string
  readonly parent?: number
  readonly sockets?: readonly number[]
}

/** The machine and the handles of the test. */
export class FakeMachine implements Machine {
  readonly files = new Map<string, FakeFile>()
  readonly reads: string[] = []
  clockMs = 0
  wall = 1_700_000_000_000
  /** How far each look at the clock moves it. */
  stepMs = 0
  disk = { bytesTotal: 1000, bytesFree: 900 }

  /** Puts or replaces a file. */
  put(path: string, file: FakeFile): void {
    this.files.set(path, file)
  }

  /** Puts a table of /proc/net with waiting sockets, each `ADDRESS:PORT inode` in the kernel's hexadecimal. */
  putSockets(
    protocol: 'tcp' | 'tcp6' | 'udp',
    state: string,
    ...sockets: readonly (readonly [string, number])[]
  ): void {
    const lines = sockets.map(([local, inode], i) => {
      const remote = protocol === 'tcp6' ? `${'0'.repeat(32)}:0000` : '00000000:0000'
      return `   ${i}: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0 0 10 0`
    })
    this.put(`/proc/net/${protocol}`, { content: ['  sl  local_address rem_address   st', ...lines, ''].join('\n') })
  }

  /** Starts a process. */
  start(process: FakeProcess): void {
    const { pid, name, executable, facts, refuses, kernelThread, state, sockets, parent } = process
    const flags = kernelThread === true ? 2129984 : 4194304
    const fields = [
      state ?? 'S',
      parent ?? 1,
      pid,
      pid,
      0,
      -1,
      flags,
      ...Array.from({ length: 12 }, () => 0),
      100 + pid,
      0,
      0,
    ]
    this.put(`/proc/${pid}/stat`, { content: `${pid} (${name}) ${fields.join(' ')}\n` })
    this.put(`/proc/${pid}/comm`, { content: `${name}\n` })
    if (refuses !== undefined) this.put(`/proc/${pid}/exe`, { refuses })
    else if (executable !== undefined)
      this.put(`/proc/${pid}/exe`, { target: executable, kind: 'file', inode: 1000, sizeBytes: 10, ...facts })
    for (const [fd, inode] of (sockets ?? []).entries())
      this.put(`/proc/${pid}/fd/${fd}`, { target: `socket:[${inode}]` })
  }

  /** Ends a process. */
  end(pid: number): void {
    for (const path of [...this.files.keys()]) if (path.startsWith(`/proc/${pid}/`)) this.files.delete(path)
  }

  readFile(path: string, bytesMax: number) {
    this.reads.push(path)
    const file = this.#find(path)
    if (file.content === undefined) throw refusal('EINVAL')
    const bytes = new TextEncoder().encode(file.content)
    return { bytes: bytes.subarray(0, bytesMax), truncated: bytes.length > bytesMax }
  }

  readFrom(path: string, offset: number, bytesMax: number) {
    this.reads.push(path)
    const file = this.#find(path)
    if (file.content === undefined) throw refusal('EINVAL')
    const bytes = new TextEncoder().encode(file.content).subarray(offset)
    return { bytes: bytes.subarray(0, bytesMax), truncated: bytes.length > bytesMax }
  }

  digest(path: string, bytesMax: number) {
    const { bytes } = this.readFile(path, bytesMax)
    return { digest: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length }
  }

  wallMs() {
    return this.wall
  }

  readdir(path: string, entriesMax: number) {
    const names = new Set<string>()
    for (const key of this.files.keys())
      if (key.startsWith(`${path}/`)) names.add(key.slice(path.length + 1).split('/')[0] as string)
    if (names.size === 0) throw refusal(this.files.has(path) ? 'ENOTDIR' : 'ENOENT')
    return { names: [...names].slice(0, entriesMax), truncated: names.size > entriesMax }
  }

  readlink(path: string) {
    const { target } = this.#find(path)
    if (target === undefined) throw refusal('EINVAL')
    return target
  }

  stat(path: string): FileFacts {
    const isDirectory = [...this.files.keys()].some((key) => key.startsWith(`${path}/`))
    const { content, target: _, refuses: __, ...facts } = isDirectory ? {} : this.#find(path)
    return {
      kind: isDirectory ? 'directory' : 'file',
      device: 1,
      inode: 7,
      sizeBytes: content?.length ?? 0,
      mode: 0o644,
      userId: 0,
      groupId: 0,
      links: 1,
      modifiedMs: 0,
      changedMs: 0,
      ...facts,
    }
  }

  statfs(_path: string) {
    return this.disk
  }

  monotonicMs() {
    this.clockMs += this.stepMs
    return this.clockMs
  }

  cpus() {
    return 2
  }

  #find(path: string): FakeFile {
    const file = this.files.get(path)
    if (file === undefined) throw refusal('ENOENT')
    if (file.refuses !== undefined) throw refusal(file.refuses)
    return file
  }
}

const refusal = (code: string): Error => Object.assign(new Error(code), { code })

/** A turn without haste: `learning` or not. */
export const turn = (learning: boolean, deadlineMs = Number.POSITIVE_INFINITY) => ({
  learning,
  deadlineMs,
  pause: () => Promise.resolve(),
})

/** A machine with init, a kernel thread, a service and its listening socket, and quiet resources. */
export function ordinaryMachine(): FakeMachine {
  const machine = new FakeMachine()
  machine.start({ pid: 1, name: 'init', executable: '/sbin/init' })
  machine.start({ pid: 2, name: 'kthreadd', kernelThread: true })
  machine.start({ pid: 30, name: 'sshd', executable: '/usr/sbin/sshd', sockets: [500] })
  machine.putSockets('tcp', '0A', ['00000000:0016', 500])
  machine.putSockets('udp', '07')
  machine.put('/proc/sys/net/ipv4/ip_local_port_range', { content: '32768\t60999\n' })
  machine.put('/proc/stat', { content: 'cpu  10 0 10 1000 0 0 0 0 0 0\ncpu0 1 1 1 1\n' })
  machine.put('/proc/meminfo', { content: 'MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\n' })
  machine.put('/proc/net/dev', {
    content: 'Inter-|\n face |\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 0 0 0 0 0 0 0 50 0\n',
  })
  machine.put('/proc/loadavg', { content: '0.10 0.00 0.00 1/91 6231\n' })
  return machine
}
