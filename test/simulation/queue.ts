/** Virtual time of the simulator: events by time, and by order of asking where times are equal. A binary heap, since this is the inner loop. */
type Scheduled = { readonly at: number; readonly order: number; readonly run: () => void }

const before = (a: Scheduled, b: Scheduled): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

export class Queue {
  /** Virtual ms since the run began. */
  now = 0
  readonly #heap: Scheduled[] = []
  #order = 0

  /** Asks for `run` after `delayMs`; less than 0 counts as 0. */
  at(delayMs: number, run: () => void): void {
    const item = { at: this.now + Math.max(0, delayMs), order: this.#order++, run }
    const heap = this.#heap
    let i = heap.push(item) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(item, heap[parent] as Scheduled)) break
      heap[i] = heap[parent] as Scheduled
      i = parent
    }
    heap[i] = item
  }

  /** Carries out the next event unless it lies beyond `endMs` or there is none; says whether it did. */
  runNext(endMs: number): boolean {
    const heap = this.#heap
    const top = heap[0]
    if (top === undefined || top.at > endMs) return false
    const last = heap.pop() as Scheduled
    if (heap.length > 0) {
      let i = 0
      for (;;) {
        let child = 2 * i + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && before(heap[child + 1] as Scheduled, heap[child] as Scheduled)) child += 1
        if (!before(heap[child] as Scheduled, last)) break
        heap[i] = heap[child] as Scheduled
        i = child
      }
      heap[i] = last
    }
    this.now = top.at
    top.run()
    return true
  }
}
