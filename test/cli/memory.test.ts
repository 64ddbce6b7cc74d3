import { describe, expect, it } from 'vitest'
import { memorySettings } from '../../cli/memory.ts'

describe('memory of a member', () => {
  it('memory: a plain process is begun again with bounds of V8 and of the C library, its own flags first', () => {
    const settings = memorySettings(['--enable-source-maps'], { PATH: '/bin' }, '24.21.0')
    expect(settings?.flags).toEqual(['--enable-source-maps', '--max-semi-space-size=16', '--heap-growing-percent=60'])
    expect(settings?.environment).toEqual({
      MALLOC_ARENA_MAX: '2',
      MALLOC_MMAP_THRESHOLD_: '131072',
      MALLOC_TRIM_THRESHOLD_: '2097152',
      PATH: '/bin',
    })
  })

  it('memory: what the operator has set decides, in either spelling, and the rest is added', () => {
    const settings = memorySettings(['--max_semi_space_size=32'], { MALLOC_ARENA_MAX: '4' }, '24.21.0')
    expect(settings?.flags).toEqual(['--max_semi_space_size=32', '--heap-growing-percent=60'])
    expect(settings?.environment['MALLOC_ARENA_MAX']).toBe('4')
  })

  it('memory: flags of NODE_OPTIONS count as set', () => {
    const environment = { NODE_OPTIONS: '--enable-source-maps --max-semi-space-size=64' }
    expect(memorySettings([], environment, '24.21.0')?.flags).toEqual(['--heap-growing-percent=60'])
  })

  it('memory: a version of Node.js that may not know a flag of V8 is not given it', () => {
    expect(memorySettings([], {}, '26.0.0')?.flags).toEqual(['--max-semi-space-size=16'])
  })

  it('memory: a process that has the flags is not begun again', () => {
    const settings = memorySettings([], {}, '24.21.0')
    expect(memorySettings(settings?.flags ?? [], {}, '24.21.0')).toBeUndefined()
  })
})
