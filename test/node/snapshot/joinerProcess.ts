/** Joins a consortium that lives in this process into the directory given, slowly; prints `chunk` for each that came and `joined` at the end. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SnapshotLibrary } from '../../../node/snapshot/library.ts'
import { openLevel } from '../../../node/store/level.ts'
import { Between, consortium, joinerOf } from './world.ts'

const place = process.argv[2] as string
const directory = await mkdtemp(join(tmpdir(), 'althing-source-'))
const between = new Between()
const libraries: SnapshotLibrary[] = []
await consortium(['a'], between, directory, libraries)
between.delayMs = 40
between.tamper = (_peer, name, answer) => {
  if (name === 'snapshot-chunk') process.stdout.write('chunk\n')
  return answer
}
const { joiner } = joinerOf(between, async (anew) => {
  if (anew) await rm(place, { recursive: true, force: true })
  return openLevel(place, { mode: 'createOrOpen' })
})
if (await joiner.join()) process.stdout.write('joined\n')
for (const library of libraries) await library.stop()
await rm(directory, { recursive: true, force: true })
