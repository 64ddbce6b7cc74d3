/** Rules about use: nothing is exported or installed that nobody needs. */
import { type Breach, everyFile, isPackage, packageOf, programFiles, type Rule, testFiles, within } from './rule.ts'
import type { Project, Source } from './source.ts'

function dead(project: Project): Breach[] {
  const used = new Set<string>()
  for (const { imports } of everyFile(project))
    for (const { file, names } of imports) for (const name of names) used.add(`${file}#${name}`)
  return programFiles(project).flatMap(({ path, code, exports }) =>
    exports
      .filter(({ name }) => !used.has(`${path}#${name}`) && !used.has(`${path}#*`))
      // A bound is exported for the page that lists them all.
      .filter(({ name }) => !new RegExp(`^\\| \`${name}[\`.]`, 'm').test(project.pages.get('docs/limits.md') ?? ''))
      .filter(({ name }) => {
        // A type may be part of what an exported thing says; protocol/ is a library as well, so what it uses itself it may offer.
        const isType = new RegExp(`^export (?:type|interface) ${name}\\b`, 'm').test(code)
        const mentions = [...code.matchAll(new RegExp(`\\b${name}\\b`, 'g'))].length
        return mentions < 2 || !(isType || within(path, 'protocol'))
      })
      .map(({ name, line }) => ({ key: `${path}#${name}`, text: `${path}:${line}: ${name}` })),
  )
}

const packagesOf = (sources: readonly Source[]): Set<string> =>
  new Set(sources.flatMap(({ imports }) => imports.filter(isPackage).map(({ module }) => packageOf(module))))

function dependencies(project: Project): Breach[] {
  const { dependencies: runtime, devDependencies: development, scripts } = project.package
  const needed = packagesOf(programFiles(project))
  const tested = packagesOf(testFiles(project))
  const isRun = (name: string): boolean => Object.values(scripts).some((script) => script.includes(name))
  const row = (name: string, what: string): Breach => ({ key: name, text: `package.json: ${name} ${what}` })
  return [
    ...[...needed].filter((name) => !(name in runtime)).map((name) => row(name, 'is imported and no dependency')),
    ...[...tested]
      .filter((name) => !(name in runtime || name in development))
      .map((name) => row(name, 'is imported by tests and not there')),
    ...Object.keys(runtime)
      .filter((name) => !needed.has(name))
      .map((name) => row(name, 'is a dependency and imported nowhere')),
    ...Object.keys(development)
      .filter((name) => !tested.has(name) && !isRun(name))
      .map((name) => row(name, 'is a devDependency and used nowhere')),
  ]
}

const loose = ({ package: { dependencies, devDependencies } }: Project): Breach[] =>
  Object.entries({ ...dependencies, ...devDependencies })
    .filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))
    .map(([name, version]) => ({ key: name, text: `package.json: ${name} ${version}` }))

/** The rules about use. */
export const USE_RULES: readonly Rule[] = [
  {
    name: 'dead',
    sentence: 'what is exported is used somewhere else',
    check: dead,
    example: { 'node/a.ts': '/** a */\nexport const a = 1\nconst b = a\n' },
  },
  {
    name: 'dependencies',
    sentence: 'package.json lists what is imported, and nothing else',
    check: dependencies,
    example: { 'package.json': '{ "dependencies": { "left-pad": "1.0.0" } }' },
  },
  {
    name: 'pinned',
    sentence: 'packages are pinned to exact versions',
    check: loose,
    example: { 'package.json': '{ "dependencies": { "left-pad": "^1.0.0" } }' },
  },
]
