import { describe, expect, it } from 'vitest'
import { CommandError, describeError, EXIT } from '../../cli/failure.ts'
import { AlthingError } from '../../node/errors.ts'

describe('failure', () => {
  it('failure: one of another layer → message, causes, the advice and exit code of its table', () => {
    const cause = new Error('IO error: 000005.ldb', { cause: new Error('EIO') })
    const error = new AlthingError('SIGNING_RECORD_CORRUPT', 'the signing record in data/signing is damaged', { cause })
    const { text, exitCode } = describeError(error)
    expect(exitCode).toBe(EXIT.badData)
    const lines = text.split('\n')
    expect(lines.slice(0, 3)).toEqual([
      'althing: the signing record in data/signing is damaged',
      '  because: IO error: 000005.ldb',
      '  because: EIO',
    ])
    expect(lines[3]).toMatch(/^ {2}what to do: .*althing start --recover.*Never restore it from a backup/)
    expect(lines[4]).toBe('  code: SIGNING_RECORD_CORRUPT')
  })

  it('failure: of a command → its own exit code, and its own advice before that of the table', () => {
    const of = (advice?: string) => describeError(new CommandError('HOME_EXISTS', EXIT.configuration, 'no', { advice }))
    expect(of().text).toBe(
      'althing: no\n  what to do: Edit its config.toml, or choose another folder with --home.\n  code: HOME_EXISTS',
    )
    expect(of('Look there.').text).toContain('  what to do: Look there.\n')
    expect(of().exitCode).toBe(78)
  })

  it('failure: of the system → what it means, and where', () => {
    const error = Object.assign(new Error('ENOSPC: no space'), { code: 'ENOSPC', syscall: 'write', path: 'data/x' })
    expect(describeError(error)).toEqual({ text: 'althing: the disk is full: data/x\n  code: ENOSPC', exitCode: 73 })
  })

  it('failure: anything else is a bug → exit 70 and a stack', () => {
    const { text, exitCode } = describeError(new TypeError('x is not a function'))
    expect(exitCode).toBe(70)
    expect(text).toMatch(/^althing: a bug in althing itself.*\nTypeError: x is not a function\n {4}at /)
  })
})
