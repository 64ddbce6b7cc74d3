import { SignJWT } from 'jose'
import { expect, it } from 'vitest'
import { createTokenChecker, TOKENS_REMEMBERED_MAX } from '../../../node/api/token.ts'

const tokenSecret = new Uint8Array(32).fill(7)
const rules = { tokenSecret, issuer: 'us', audience: 'you' }
const BEGAN_S = 1_800_000_000

function checkerAt(): { clock: { nowMs: number }; check: ReturnType<typeof createTokenChecker> } {
  const clock = { nowMs: BEGAN_S * 1000 }
  return { clock, check: createTokenChecker(rules, () => clock.nowMs) }
}

const bearer = async (subject: string, change = (token: SignJWT): SignJWT => token): Promise<string> => {
  const token = new SignJWT({ scope: 'read' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('us')
    .setAudience('you')
    .setSubject(subject)
    .setExpirationTime(BEGAN_S + 60)
  return `Bearer ${await change(token).sign(tokenSecret)}`
}

it('token: one that was checked before → the same bearer, until the second in which it expires', async () => {
  const { clock, check } = checkerAt()
  const one = await bearer('one')
  const first = await check(one)
  expect(first).toMatchObject({ subject: 'one', expiresAt: (BEGAN_S + 60) * 1000 })
  clock.nowMs += 59_999
  expect(await check(one)).toBe(first)
  clock.nowMs += 1
  await expect(check(one)).rejects.toMatchObject({ code: 'TOKEN_EXPIRED' })
})

it('token: one that was checked before, with another signature or other claims → refused', async () => {
  const { check } = checkerAt()
  const one = await bearer('one')
  await check(one)
  const [head, , signature] = one.split('.')
  const [, claims] = (await bearer('two')).split('.')
  await expect(check(`${head}.${claims}.${signature}`)).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
  const altered = `${one.slice(0, -2)}${one.at(-2) === 'A' ? 'B' : 'A'}${one.at(-1)}`
  await expect(check(altered)).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
})

it('token: not valid before a time, and the clock is set back behind it → refused, though it was valid a moment ago', async () => {
  const { clock, check } = checkerAt()
  const later = await bearer('one', (token) => token.setNotBefore(BEGAN_S))
  await check(later)
  clock.nowMs -= 10_000
  await expect(check(later)).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
})

it('token: more than are remembered → each is checked all the same', async () => {
  const { check } = checkerAt()
  const first = await bearer('0')
  const before = await check(first)
  for (let i = 1; i <= TOKENS_REMEMBERED_MAX; i++) await check(await bearer(String(i)))
  const after = await check(first)
  expect(after).toEqual(before)
  expect(after).not.toBe(before)
})
