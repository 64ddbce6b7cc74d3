import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ROOT, textOf } from './pages.ts'

const manifest = JSON.parse(textOf('package.json')) as {
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
  allowScripts: Record<string, boolean>
}
type Locked = {
  version: string
  hasInstallScript?: boolean
  deprecated?: string
  engines?: { node?: string }
  optional?: boolean
}
const locked = JSON.parse(textOf('package-lock.json')).packages as Record<string, Locked>

/** Rows of the section under `heading`: package, licence, native. */
function rowsOf(heading: string): { name: string; licence: string; native: string }[] {
  const section =
    textOf('docs/dependencies.md')
      .split(/^## /m)
      .find((part) => part.startsWith(heading)) ?? ''
  return [...section.matchAll(/^\| `([^`]+)` \|(?:[^|]*\|){3} ([^|]+) \| ([^|]+) \|$/gm)].map(
    ([, name, licence, native]) => ({ name: name as string, licence: licence as string, native: native as string }),
  )
}
const runtime = rowsOf('At run time')
const development = rowsOf('For development')

describe('docs/dependencies.md', () => {
  it('dependencies: the page lists exactly the packages of package.json', () => {
    expect(runtime.map(({ name }) => name)).toEqual(Object.keys(manifest.dependencies))
    expect(development.map(({ name }) => name)).toEqual(Object.keys(manifest.devDependencies))
  })

  it('dependencies: licences are those of the installed packages', () => {
    for (const { name, licence } of [...runtime, ...development])
      expect([name, licence]).toEqual([name, JSON.parse(textOf(`node_modules/${name}/package.json`)).license])
  })

  it('dependencies: what is marked native is what brings prebuilt code', () => {
    for (const { name, native } of [...runtime, ...development]) {
      const folder = new URL(`node_modules/${name}/`, ROOT)
      const { optionalDependencies = {} } = JSON.parse(textOf(`node_modules/${name}/package.json`))
      const files = readdirSync(folder)
      // Either in the package, or one package per platform beside it.
      const brings =
        files.includes('prebuilds') ||
        Object.keys(optionalDependencies).some((other) => /linux-x64/.test(other)) ||
        name === 'node'
      expect([name, native]).toEqual([name, brings ? 'prebuilt' : 'no'])
    }
  })
})

/** .npmrc keeps npm quiet on a machine whose own Node.js is older than the one that `node` brings. What it would have said is said here. */
describe('package-lock.json', () => {
  const packages = Object.entries(locked).filter(([path]) => path !== '')

  it('packages: install scripts are those that allowScripts lists', () => {
    const scripts = packages.filter(([, { hasInstallScript }]) => hasInstallScript === true)
    const names = scripts.map(([path]) => path.replace(/^.*node_modules\//, ''))
    expect(names.sort()).toEqual(Object.keys(manifest.allowScripts).sort())
  })

  it('packages: none is deprecated', () => {
    expect(packages.filter(([, { deprecated }]) => deprecated !== undefined).map(([path]) => path)).toEqual([])
  })

  it('packages: all run on the Node.js that the package `node` brings', () => {
    const version = (locked['node_modules/node'] as Locked).version.split('.').map(Number)
    expect(
      packages.filter(([, { engines }]) => !satisfies(version, engines?.node ?? '*')).map(([path]) => path),
    ).toEqual([])
  })
})

/** Whether `version` is in `range`; the forms that packages use: alternatives of `>=`, `^`, `~`, `<` and bare versions. */
function satisfies(version: readonly number[], range: string): boolean {
  const compare = (a: readonly number[], b: readonly number[]): number =>
    (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0) || (a[2] ?? 0) - (b[2] ?? 0)
  return range.split('||').some((alternative) =>
    [...alternative.trim().matchAll(/(>=|<=|>|<|\^|~|=)?\s*v?(\d+(?:\.\d+){0,2}|[*x])(?:\.x)*/g)].every(
      ([, sign, text]) => {
        if (text === '*' || text === 'x') return true
        const bound = (text as string).split('.').map(Number)
        const order = compare(version, bound)
        if (sign === '>=') return order >= 0
        if (sign === '>') return order > 0
        if (sign === '<') return order < 0
        if (sign === '<=') return order <= 0
        return order >= 0 && version[0] === bound[0]
      },
    ),
  )
}
