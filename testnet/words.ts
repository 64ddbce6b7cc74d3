/**
 * Stage: the operator. The words of one line of a scenario, and what may stand in it: times, numbers, names of members; pure.
 */
import { didYouMean } from '../config/problems.ts'
import { parseDuration } from './plan.ts'

/** Whom an act is done to: names, the leader of that moment, or all. */
export type Target = readonly string[] | 'leader' | 'all'

/** Carries one problem out of the middle of a line. */
export class Unfit extends Error {
  readonly hint: string | undefined
  constructor(what: string, hint?: string) {
    super(what)
    this.hint = hint
  }
}

/** The words of a line, taken one after the other. Whatever does not fit is thrown as Unfit. */
export class Words {
  readonly #words: string[]
  readonly #names: readonly string[]

  constructor(words: string[], names: readonly string[]) {
    this.#words = words
    this.#names = names
  }

  get next(): string | undefined {
    return this.#words[0]
  }

  take(what: string): string {
    const word = this.#words.shift()
    if (word === undefined) throw new Unfit(`ends where ${what} should follow`)
    return word
  }

  /** Takes `word` if it comes next. */
  takeIf(word: string): boolean {
    if (this.#words[0] !== word) return false
    this.#words.shift()
    return true
  }

  expect(word: string): void {
    const found = this.take(`"${word}"`)
    if (found !== word) throw new Unfit(`has "${found}" where "${word}" should be`)
  }

  duration(): number {
    const word = this.take('a time')
    const ms = parseDuration(word)
    if (ms === undefined) throw new Unfit(`"${word}" is no time`, 'Write a number and a unit: 500ms, 30s, 2m')
    return ms
  }

  number(pattern: RegExp, max: number, example: string): number {
    const word = this.take(`a number such as ${example}`)
    const value = Number(pattern.exec(word)?.[1] ?? Number.NaN)
    if (!(value >= 0 && value <= max)) throw new Unfit(`"${word}" is not a number such as ${example}, at most ${max}`)
    return value
  }

  forMs(): number | null {
    return this.takeIf('for') ? this.duration() : null
  }

  names(): string[] {
    return this.namesOf('member', this.#names)
  }

  /** Names out of `all`, which are those of each `what`. */
  namesOf(what: string, all: readonly string[]): string[] {
    if (all.length === 0) throw new Unfit(`there is no ${what}`, `Write for example: ${what.toLowerCase()}s 5`)
    const names = this.take(`the name of a ${what}`).split(',')
    for (const name of names)
      if (!all.includes(name))
        throw new Unfit(`"${name}" is no ${what}`, didYouMean(name, all) ?? `The ${what}s are ${all.join(', ')}`)
    if (new Set(names).size < names.length) throw new Unfit(`names a ${what} twice`)
    return names
  }

  target(): Target {
    if (this.next === 'leader' || this.next === 'all') return this.take('who') as 'leader' | 'all'
    return this.names()
  }

  end(): void {
    if (this.#words.length > 0) throw new Unfit(`goes on with "${this.#words.join(' ')}" where it should end`)
  }
}
