import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { tarOf } from '../../cli/tar.ts'

it('tar: another program unpacks the archive, byte for byte', () => {
  const folder = mkdtempSync(join(tmpdir(), 'althing-tar-'))
  try {
    const files = [
      { name: 'a/empty.txt', text: '' },
      { name: 'a/exact.txt', text: 'x'.repeat(512) },
      { name: 'a/text.json', text: `{"ä": "${'y'.repeat(1500)}"}\n` },
    ]
    writeFileSync(join(folder, 'a.tar'), tarOf(files, 1_790_000_000_000))
    execFileSync('tar', ['-xf', 'a.tar'], { cwd: folder })
    for (const { name, text } of files) expect(readFileSync(join(folder, name), 'utf8')).toBe(text)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

it('tar: a name that leads out of the archive, or is too long, is a mistake', () => {
  for (const name of ['/etc/passwd', 'x'.repeat(101), 'ä', ''])
    expect(() => tarOf([{ name, text: '' }], 0)).toThrow(RangeError)
})
