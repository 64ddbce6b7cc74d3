import { expect, it } from 'vitest'
import { Turnstile } from '../../node/steps.ts'

/** A turnstile whose turns are made by hand. */
function byHand(perTurn: number): { pass(name: string): void; begun: string[]; turn(): Promise<void> } {
  let turns: (() => void)[] = []
  const turnstile = new Turnstile(perTurn, { breathe: () => new Promise((resolve) => void turns.push(resolve)) })
  const begun: string[] = []
  return {
    begun,
    pass: (name) => void turnstile.pass().then(() => begun.push(name)),
    async turn() {
      const due = turns
      turns = []
      for (const one of due) one()
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

it('turnstile: so many begin in one turn, the others in order in the turns after it, and late ones stand behind them', async () => {
  const { pass, begun, turn } = byHand(2)
  for (const name of ['a', 'b', 'c', 'd', 'e']) pass(name)
  await Promise.resolve()
  expect(begun).toEqual(['a', 'b'])
  await turn()
  pass('f')
  expect(begun).toEqual(['a', 'b', 'c', 'd'])
  await turn()
  expect(begun).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
})

it('turnstile: after a rest the first ones begin at once', async () => {
  const { pass, begun, turn } = byHand(2)
  pass('a')
  for (let i = 0; i < 3; i++) await turn()
  for (const name of ['b', 'c', 'd']) pass(name)
  await Promise.resolve()
  expect(begun).toEqual(['a', 'b', 'c'])
  await turn()
  expect(begun).toEqual(['a', 'b', 'c', 'd'])
})
