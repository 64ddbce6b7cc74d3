import { beforeAll, describe, expect, it } from 'vitest'
import { ModuleHost, SecurityModule } from '../../../node/modules/host.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { LIMITS } from '../../../protocol/limits.ts'
import { encodeModuleInput } from '../../../protocol/modules/input.ts'
import { compile, HEAD, scoring } from './compile.ts'

const input = encodeModuleInput({ floats: [1, 2], integers: [3] })

async function outcome(body: string, ...options: string[]): Promise<unknown> {
  const module = SecurityModule.load(await compile(scoring(body), ...options))
  return typeof module === 'string' ? module : module.score(input)
}
const load = async (source: string, ...options: string[]): Promise<unknown> => {
  const module = SecurityModule.load(await compile(source, ...options))
  return typeof module === 'string' ? module : 'loaded'
}
const GOOD = 'open(inputAt, inputBytes); begin(); put(float(0) + float(1)); put(<f64>integer(0)); return finish()'
let good: Uint8Array

beforeAll(async () => {
  good = await compile(scoring(GOOD))
})

describe('module host: what runs', () => {
  it('numbers go in, integers come out, cut to 0 … 1 000 000', async () => {
    expect(await outcome(GOOD)).toEqual([3, 3])
    expect(await outcome('begin(); put(-5); put(2e9); put(1.9); return finish()')).toEqual([0, 1_000_000, 1])
  })

  it('nothing lasts from call to call, neither in memory nor in globals', async () => {
    const source = `${HEAD}let calls: i32 = 0; const cell = memory.data(8)
      export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 {
        calls++; store<i32>(cell, load<i32>(cell) + 1); store<i32>(60000, load<i32>(60000) + 1)
        begin(); put(<f64>calls); put(<f64>load<i32>(cell)); put(<f64>load<i32>(60000)); return finish() }`
    const module = SecurityModule.load(await compile(source)) as SecurityModule
    for (let call = 0; call < 3; call++) expect(module.score(input)).toEqual([1, 1, 1])
  })

  it('after a call that was ended the next one is as if nothing had happened', async () => {
    const body =
      'open(inputAt, inputBytes); if (float(0) > 5) { store<i32>(0, 1); while (true) store<i32>(4, load<i32>(4) + 1) } ' +
      'begin(); put(<f64>load<i32>(0)); return finish()'
    const module = SecurityModule.load(await compile(scoring(body))) as SecurityModule
    expect(module.score(encodeModuleInput({ floats: [9], integers: [] }))).toBe('MODULE_FUEL')
    expect(module.score(input)).toEqual([0])
  })

  it('the same call takes the same steps', async () => {
    const body = 'begin(); let sum = 0; for (let i = 0; i < 1000; i++) sum += i ^ sum; put(<f64>sum); return finish()'
    const [one, two] = await Promise.all([compile(scoring(body)), compile(scoring(body))])
    const modules = [one, one, two].map((binary) => SecurityModule.load(binary as Uint8Array) as SecurityModule)
    const steps = modules.map((module) => [module.score(input), module.stepsUsed])
    expect(steps[1]).toEqual(steps[0])
    expect(steps[2]).toEqual(steps[0])
    expect(modules[0]?.stepsUsed).toBeGreaterThan(4000)
  })

  it('a NaN has one form of bits, however it came about', async () => {
    const bits = (value: string): string => `begin(); const zero = float(0) - float(0); const nan = ${value}
      put(<f64>(reinterpret<u64>(nan) >> 48)); put(<f64>(reinterpret<u64>(nan) & 0xfffff)); return finish()`
    for (const value of ['zero / zero', 'Math.sqrt(float(0) - 2)', '-(zero / zero) + 1', 'load<f64>(inputAt + 16)']) {
      const module = SecurityModule.load(
        await compile(scoring(`open(inputAt, inputBytes); ${bits(value)}`)),
      ) as SecurityModule
      const given = value.startsWith('load') ? Number.NaN : 1
      expect(module.score(encodeModuleInput({ floats: [given, 2], integers: [3] })), value).toEqual([0x7ff8, 0])
    }
  })

  it('the parameters that a module carries are its own, and others can be put in their place', async () => {
    const body = 'begin(); put(modelBytes == 0 ? 7.0 : <f64>load<u8>(modelAt)); return finish()'
    const bare = await compile(scoring(body))
    const name = [...'althing.model'].map((character) => character.charCodeAt(0))
    const carrying = Uint8Array.from([...bare, 0, name.length + 2, name.length, ...name, 42])
    expect((SecurityModule.load(bare) as SecurityModule).score(input)).toEqual([7])
    expect((SecurityModule.load(carrying) as SecurityModule).score(input)).toEqual([42])
    expect((SecurityModule.load(carrying, Uint8Array.of(9)) as SecurityModule).score(input)).toEqual([9])
  })
})

describe('module host: what is ended', () => {
  it.each([
    ['a loop without end', 'while (true) {} return 0', 'MODULE_FUEL'],
    ['a loop without end that does something', 'let i = 0; while (true) store<i32>(8, i++); return 0', 'MODULE_FUEL'],
    ['unreachable code', 'unreachable(); return 0', 'MODULE_TRAP'],
    ['a division by zero', 'return 1 / (inputBytes - inputBytes)', 'MODULE_TRAP'],
    ['an address outside memory', 'store<i32>(1 << 30, 1); return 0', 'MODULE_TRAP'],
    ['memory that does not grow', 'store<i32>(<usize>memory.grow(1) << 16, 1); return 0', 'MODULE_TRAP'],
    ['a NaN', 'begin(); put(NaN); return finish()', 'MODULE_NAN'],
    ['an input that it does not understand', 'return refuse(1)', 'MODULE_INPUT'],
    ['a status that there is not', 'return refuse(3)', 'MODULE_RESULT'],
    ['no numbers', 'begin(); return finish()', 'MODULE_RESULT'],
    ['a result outside memory', 'return -4', 'MODULE_RESULT'],
    [
      'a number that is too large',
      'store<i32>(8, 0); store<i32>(12, 1); store<i32>(16, 1000001); return 8',
      'MODULE_RESULT',
    ],
    ['a number below 0', 'store<i32>(8, 0); store<i32>(12, 1); store<i32>(16, -1); return 8', 'MODULE_RESULT'],
    ['more numbers than there may be', 'store<i32>(8, 0); store<i32>(12, 65); return 8', 'MODULE_RESULT'],
  ])('%s', async (_what, body, code) => {
    expect(await outcome(body)).toBe(code)
  })

  it('a loop without end is over within 20 ms', async () => {
    const module = SecurityModule.load(
      await compile(scoring('let sum: f64 = 0; while (true) sum += Math.sqrt(sum + 1) / 3; return 0')),
    ) as SecurityModule
    module.score(input)
    let best = Number.POSITIVE_INFINITY
    for (let call = 0; call < 5; call++) {
      const start = performance.now()
      expect(module.score(input)).toBe('MODULE_FUEL')
      best = Math.min(best, performance.now() - start)
    }
    expect(best).toBeLessThan(20)
  })

  it('an input that is larger than a call may have does not reach the module', () => {
    const module = SecurityModule.load(good) as SecurityModule
    expect(module.score(new Uint8Array(LIMITS.moduleInputBytesMax + 1))).toBe('MODULE_INPUT')
  })
})

describe('module host: what is not loaded', () => {
  it.each([
    ['an import', `@external("env", "now") declare function now(): i32; ${scoring('return now()')}`, 'MODULE_IMPORT'],
    ['a start function', `let started = 0; started = memory.size(); ${scoring('return started')}`, 'MODULE_START'],
    ['no score', HEAD, 'MODULE_EXPORTS'],
    ['an export of its own', `${scoring('return 0')} export function fuel(): i32 { return 1 }`, 'MODULE_EXPORTS'],
    ['a score of another type', `${HEAD} export function score(a: i64): i32 { return 0 }`, 'MODULE_EXPORTS'],
    [
      'another version of the ABI',
      scoring('return 0')
        .replace('export { alloc, abiVersion }', 'export function abiVersion(): i32 { return 2 } export { alloc }')
        .replace('alloc, abiVersion, begin', 'alloc, begin'),
      'MODULE_ABI',
    ],
    ['a kind that there is not', scoring('return 0').replace('return 1', 'return 9'), 'MODULE_ABI'],
    [
      'a function that calls itself',
      `${scoring('return deep(inputBytes)')} 
      function deep(n: i32): i32 { return n > 0 ? deep(n - 1) + deep(n - 2) : 1 }`,
      'MODULE_RECURSION',
    ],
    [
      'two functions that call each other',
      `${scoring('return a(inputBytes)')} 
      function a(n: i32): i32 { return n > 9 ? b(n - 1) * 2 + b(n - 3) : 1 }
      function b(n: i32): i32 { return n > 5 ? a(n - 1) * 3 + a(n - 2) : 2 }`,
      'MODULE_RECURSION',
    ],
    [
      'a call through a table',
      `${scoring('let f = inputBytes > 5 ? one : two; return f(inputBytes)')} 
      function one(n: i32): i32 { return n * 3 } function two(n: i32): i32 { return n * 5 }`,
      'MODULE_INSTRUCTION',
    ],
  ])('%s', async (_what, source, code) => {
    expect(await load(source)).toBe(code)
  })

  it.each([
    ['memory without a maximum', ['--initialMemory=1'], 'MODULE_MEMORY'],
    ['memory beyond the limit', ['--initialMemory=17', '--maximumMemory=17'], 'MODULE_MEMORY'],
    ['a maximum beyond the limit', ['--initialMemory=1', '--maximumMemory=60000'], 'MODULE_MEMORY'],
    ['memory from outside', ['--importMemory', '--initialMemory=1', '--maximumMemory=1'], 'MODULE_IMPORT'],
  ])('%s', async (_what, options, code) => {
    expect(await load(scoring('return 0'), ...options)).toBe(code)
  })

  it('SIMD, and work on stretches of memory', async () => {
    const simd = scoring('return i32x4.extract_lane(i32x4.add(i32x4.splat(inputAt), i32x4.splat(inputBytes)), 1)')
    expect(await load(simd, '--enable=simd')).toBe('MODULE_INSTRUCTION')
    expect(await load(scoring('memory.fill(0, 1, 60000); return 0'), '--enable=bulk-memory')).toBe('MODULE_INSTRUCTION')
  })

  it('a binary that was cut, at any byte', () => {
    for (let length = 0; length < good.length; length++)
      expect(typeof SecurityModule.load(good.slice(0, length)), `${length} bytes`).toBe('string')
    expect(SecurityModule.load(new Uint8Array())).toBe('MODULE_MALFORMED')
  })

  it('a binary with any byte changed does no harm: a code, or numbers, or it says nothing', () => {
    let loaded = 0
    for (let at = 8; at < good.length; at++)
      for (const change of [0x01, 0x80, 0xff]) {
        const changed = good.slice()
        changed[at] = (changed[at] as number) ^ change
        const module = SecurityModule.load(changed)
        if (typeof module === 'string') continue
        loaded++
        const scores = module.score(input)
        if (typeof scores !== 'string')
          for (const score of scores) expect(Number.isInteger(score) && score >= 0 && score <= 1_000_000).toBe(true)
      }
    expect(loaded).toBeGreaterThan(0)
  })

  it('a binary that is too large', () => {
    const size = LIMITS.moduleBytesMax
    const padded = Uint8Array.from([...good, 0, 0x80 | (size & 0x7f), 0x80 | ((size >> 7) & 0x7f), size >> 14, 1, 0x78])
    const full = new Uint8Array(padded.length + size - 2)
    full.set(padded)
    expect(SecurityModule.load(full)).toBe('MODULE_TOO_LARGE')
  })

  it('a counter of steps that the author put in himself: the host’s own still counts', async () => {
    const source = `${HEAD}let fuel: i32 = 500000
      export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 { while (true) fuel = 500000; return 0 }`
    const module = SecurityModule.load(await compile(source)) as SecurityModule
    expect(module.score(input)).toBe('MODULE_FUEL')
  })
})

describe('module host: as the engine of the ledger', () => {
  it('a module is what its hash says', () => {
    const host = new ModuleHost()
    expect(host.score(toHex(sha3(good)), () => good, input)).toEqual([3, 3])
    expect(() => host.score('00'.repeat(32), () => good, input)).toThrow('the bytes of module')
  })

  it('its bytes are asked for once', () => {
    const host = new ModuleHost()
    let asked = 0
    const bytes = (): Uint8Array => {
      asked++
      return good
    }
    for (let call = 0; call < 3; call++) host.score(toHex(sha3(good)), bytes, input)
    expect(asked).toBe(1)
  })

  it('a module of another kind than it was published as is refused', () => {
    const host = new ModuleHost()
    expect(host.check('anomaly', good)).toBeNull()
    expect(host.check('trust', good)).toBe('MODULE_ABI')
  })
})
