/** Rules about direction: who may import whom. */
import {
  type Breach,
  breach,
  everyFile,
  folderOf,
  isPackage,
  packageOf,
  places,
  programFiles,
  type Rule,
  within,
  wrongImports,
} from './rule.ts'
import type { Project } from './source.ts'

/** Rows of protocol/README.md, `| file | … | codes |`: path from the root, and the codes it names. */
function riverOf({ pages }: Project): { readonly path: string; readonly codes: readonly string[] }[] {
  const page = pages.get('protocol/README.md') ?? ''
  return [...page.matchAll(/^\| `([\w/]+\.ts)` \|.*\|(.*)\|$/gm)].map(([, file, codes]) => ({
    path: `protocol/${file}`,
    codes: [...(codes as string).matchAll(/`([A-Z_]+)`/g)].map((match) => match[1] as string),
  }))
}

const inReadme = (what: string): Breach => ({ key: 'protocol/README.md', text: `protocol/README.md: ${what}` })

function order(project: Project): Breach[] {
  const listed = riverOf(project).map(({ path }) => path)
  const files = everyFile(project).flatMap(({ path }) => (within(path, 'protocol') ? [path] : []))
  const broken = files.filter((path) => !listed.includes(path)).map((path) => inReadme(`${path} is missing`))
  for (const [i, path] of listed.entries()) {
    if (!files.includes(path)) broken.push(inReadme(`there is no ${path}`))
    if (listed.indexOf(path) !== i) broken.push(inReadme(`${path} is listed twice`))
    for (const { file, line } of project.sources.get(path)?.imports ?? [])
      if (file !== undefined && listed.indexOf(file) >= i)
        broken.push(breach(path, line, `imports ${file}, which stands below it in protocol/README.md`))
  }
  return broken
}

function refusals(project: Project): Breach[] {
  const table = project.sources.get('protocol/verdict.ts')?.text ?? ''
  const known = new Set([...table.matchAll(/^ {2}([A-Z][A-Z_]+): /gm)].map((match) => match[1] as string))
  return riverOf(project).flatMap(({ path, codes }) => {
    const strings = project.sources.get(path)?.strings ?? []
    const said = new Set(strings.flatMap(({ value }) => (known.has(value) ? [value] : [])))
    return [
      ...[...said]
        .filter((code) => code !== 'OK' && !codes.includes(code))
        .map((code) => inReadme(`${path} refuses with ${code}`)),
      ...codes.filter((code) => !said.has(code)).map((code) => inReadme(`${path} never says ${code}`)),
    ]
  })
}

/** Where the code of a folder may reach. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  protocol: ['protocol'],
  config: ['config', 'protocol'],
  node: ['node', 'config', 'protocol'],
  cli: ['cli', 'node', 'config', 'protocol', 'testnet'],
  testnet: ['testnet', 'cli', 'node', 'config', 'protocol'],
  bin: ['cli'],
}

const layers = (project: Project): Breach[] =>
  wrongImports(
    programFiles(project),
    ({ file }, { path }) => file !== undefined && !MAY_IMPORT[folderOf(path)]?.includes(folderOf(file)),
  )

/** Small parts of node/ that a command may import before it runs. */
const LIGHT_PARTS = [
  'node/alive.ts',
  'node/errors.ts',
  'node/failures.ts',
  'node/version.ts',
  'node/wholeFile.ts',
  'node/clock.ts',
  'node/crypto/keys.ts',
]

const lazy = (project: Project): Breach[] =>
  wrongImports(
    programFiles(project).filter(({ path }) => within(path, 'cli')),
    ({ file, dynamic, typeOnly }) =>
      file !== undefined && within(file, 'node') && !dynamic && !typeOnly && !LIGHT_PARTS.includes(file),
    ({ file }) => `imports ${file} before the command runs; use await import()`,
  )

function cycles(project: Project): Breach[] {
  const state = new Map<string, 'open' | 'done'>()
  const found: Breach[] = []
  const visit = (path: string, way: readonly string[]): void => {
    if (state.get(path) === 'done') return
    if (state.get(path) === 'open') {
      const circle = [...way.slice(way.indexOf(path)), path].join(' → ')
      found.push({ key: circle, text: circle })
      return
    }
    state.set(path, 'open')
    for (const { file } of project.sources.get(path)?.imports ?? []) if (file !== undefined) visit(file, [...way, path])
    state.set(path, 'done')
  }
  for (const { path } of everyFile(project)) visit(path, [])
  return found
}

/** Package or scope → the only folders that import it. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  '@fastify': ['node/api'],
  '@libp2p': ['node/network'],
  // Addresses are checked where they are read.
  '@multiformats': ['config', 'node/network'],
  // A key in the genesis is checked to be on the curve.
  '@noble': ['config/genesisFile.ts', 'protocol'],
  ajv: ['node/api'],
  'classic-level': ['node/store'],
  commander: ['cli', 'testnet'],
  fastify: ['node/api'],
  libp2p: ['node/network'],
  'p-event': ['node/network'],
  'prom-client': ['node/service'],
  secp256k1: ['node/crypto'],
  'smol-toml': ['config'],
  typebox: ['node/api'],
  'uint8-varint': ['node/network'],
  uint8arraylist: ['node/network'],
}
const homesOf = (module: string): readonly string[] | undefined =>
  HOMES[packageOf(module)] ?? HOMES[module.split('/', 1)[0] as string]

const homes = (project: Project): Breach[] =>
  wrongImports(
    programFiles(project),
    (one, { path }) => isPackage(one) && homesOf(one.module)?.some((folder) => within(path, folder)) === false,
    ({ module }) => `imports ${module}, which belongs to ${homesOf(module)?.join(' and ')}`,
  )

/** How the big parts come into being. */
const CONSTRUCTION = new RegExp(
  '^(?!.*\\bfunction ).*\\b(?:' +
    'new (?:Driver|Pool|Intake|Blocks|SignaturePool)|Executor\\.open|createNetwork|createApi|openLedger|openLevel|' +
    'openSigningRecord|lockDirectory|openOutbox|createCycle)\\(',
  'gm',
)

const construction = (project: Project): Breach[] =>
  programFiles(project)
    // The signing record is a database of its own; a testnet locks the folder that it will remove.
    .filter(
      ({ path }) =>
        !/^node\/(?:daemon|dataDirectory|platform|store\/disk|(?:\w+\/)?main)\.ts$/.test(path) &&
        !['node/store/signingRecord.ts', 'testnet/folder.ts'].includes(path),
    )
    .flatMap(({ path, code }) => places(path, code, CONSTRUCTION))

const mutants = (project: Project): Breach[] =>
  wrongImports(
    programFiles(project).filter(({ path }) => !within(path, 'protocol')),
    ({ file, names }) => file === 'protocol/consensus/rules.ts' || names.includes('makeStep'),
    () => 'reaches the rules from which faulty cores are made',
  )

/** What a pure function has no use for. `new Date(ms)` is a way of writing a number. */
const IMPURE = new RegExp(
  '\\bnew Date\\(\\)|\\b(?:Date\\.now|Math\\.random|performance|setTimeout|setInterval|setImmediate|queueMicrotask|process|console|' +
    'async|await|Promise|globalThis|fetch|crypto\\.\\w+|Intl|toLocale\\w*)\\b',
  'g',
)

const impure = (project: Project): Breach[] =>
  programFiles(project)
    .filter(({ path }) => within(path, 'protocol'))
    .flatMap(({ path, code }) => places(path, code, IMPURE))

const foreign = (project: Project): Breach[] =>
  wrongImports(
    programFiles(project).filter(({ path }) => within(path, 'protocol')),
    ({ module }) => !/^(?:\.|@noble\/)/.test(module),
  )

const HEADER = '/** A file. */\n'

/** The rules about direction. */
export const IMPORT_RULES: readonly Rule[] = [
  {
    name: 'order',
    sentence: 'protocol/README.md lists the files of protocol/, and each imports only files above it',
    check: order,
    example: {
      'protocol/README.md': '| `a.ts` | | |\n| `b.ts` | | |\n',
      'protocol/a.ts': `${HEADER}import { b } from './b.ts'\n`,
      'protocol/b.ts': `${HEADER}/** b */\nexport const b = 1\n`,
    },
  },
  {
    name: 'refusals',
    sentence: 'protocol/README.md names the codes with which each file refuses, and no others',
    check: refusals,
    example: {
      'protocol/README.md': '| `a.ts` | | `TX_EXPIRED` |\n',
      'protocol/verdict.ts': '  TX_EXPIRED: ignore(),\n  TX_REPLAYED: ignore(),\n',
      'protocol/a.ts': "const code = 'TX_REPLAYED'\n",
    },
  },
  {
    name: 'foreign',
    sentence: 'protocol/ imports nothing but itself and @noble/*',
    check: foreign,
    example: { 'protocol/a.ts': "import { readFileSync } from 'node:fs'\n" },
  },
  {
    name: 'pure',
    sentence: 'protocol/ has no clock, randomness, timer, process, console, async or locale',
    check: impure,
    example: { 'protocol/a.ts': '// Date.now() in a comment is none\nconst now = Date.now()\n' },
  },
  {
    name: 'layers',
    sentence: 'cli/ and testnet/ use node/, node/ uses config/, config/ uses protocol/, and nothing the other way',
    check: layers,
    example: { 'node/a.ts': "import type { Output } from '../cli/output.ts'\n" },
  },
  {
    name: 'lazy',
    sentence: "cli/ imports the daemon's code only when a command runs",
    check: lazy,
    example: { 'cli/start.ts': "import { MemberNode } from '../node/main.ts'\n" },
  },
  {
    name: 'cycles',
    sentence: 'no imports go round in a circle',
    check: cycles,
    example: {
      'node/a.ts': "import { b } from './b.ts'\n",
      'node/b.ts': "import type { C } from './c/c.ts'\n",
      'node/c/c.ts': "import { a } from '../a.ts'\n",
    },
  },
  {
    name: 'homes',
    sentence: 'a library is imported in its own folder only: libp2p in node/network, LevelDB in node/store, …',
    check: homes,
    example: { 'node/sync/a.ts': "import type { PeerId } from '@libp2p/interface'\n" },
  },
  {
    name: 'construction',
    sentence:
      'only main.ts builds the big parts, on what dataDirectory.ts opens, and daemon.ts the process around them',
    check: construction,
    example: { 'node/sync/a.ts': 'const pool = new Pool({}, clock)\n' },
  },
  {
    name: 'mutants',
    sentence: 'faulty cores cannot be reached: nothing outside protocol/ uses protocol/consensus/rules.ts or makeStep',
    check: mutants,
    example: { 'node/consensus/a.ts': "import { RULES } from '../../protocol/consensus/rules.ts'\n" },
  },
]
