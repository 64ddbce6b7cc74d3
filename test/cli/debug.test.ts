import { expect, it } from 'vitest'
import { redactorOf } from '../../cli/debug.ts'

const HEX = '7f3a9c5e1b2d4f60718293a4b5c6d7e8f9010203040506070809a0b0c0d0e0f0'
const bytes = Buffer.from(HEX, 'hex')

it('debug: a secret is taken out in every form in which it may stand', () => {
  const redact = redactorOf([HEX])
  const forms = [HEX, HEX.toUpperCase(), bytes.toString('base64'), bytes.toString('base64url')]
  for (const form of forms) expect(redact(`before ${form} after`)).toMatch(/^before \[removed\]=?=? after$/)
  expect(redact('nothing here')).toBe('nothing here')
})

it('debug: tokens and authorization headers are taken out, whoever made them', () => {
  const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl'
  const redact = redactorOf([])
  for (const text of [token, `Bearer ${token}`, 'authorization: Basic dXNlcjpwYXNz'])
    expect(redact(text)).not.toMatch(/eyJ|dXNlcjpwYXNz/)
})
