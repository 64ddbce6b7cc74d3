/** `npm run docs`: writes the pages of docs/ that are made from tables in the code. */
import { writeFileSync } from 'node:fs'
import { PAGES, ROOT } from './pages.ts'

for (const [path, render] of Object.entries(PAGES)) {
  writeFileSync(new URL(path, ROOT), render())
  console.log(`wrote ${path}`)
}
