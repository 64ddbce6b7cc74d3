/**
 * Stage: the operator. A tar archive (ustar, POSIX.1-1988) of a few small files in memory. Own code: it is thirty lines, and every package that
 * does it brings five others.
 * Invariant: any tar program unpacks it; names are short and relative.
 */

/** A file of an archive. */
export type ArchiveFile = { readonly name: string; readonly text: string }

const BLOCK_BYTES = 512

/** The bytes of an archive of `files`, all of them readable by their owner only. Names: up to 100 ASCII characters. */
export function tarOf(files: readonly ArchiveFile[], timeMs: number): Buffer {
  const parts: Buffer[] = []
  for (const { name, text } of files) {
    const data = Buffer.from(text)
    parts.push(
      headerOf(name, data.length, timeMs),
      data,
      Buffer.alloc((BLOCK_BYTES - (data.length % BLOCK_BYTES)) % BLOCK_BYTES),
    )
  }
  // Two empty blocks end an archive.
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)])
}

function headerOf(name: string, size: number, timeMs: number): Buffer {
  if (!/^[\w./-]{1,100}$/.test(name) || name.startsWith('/')) throw new RangeError(`no name for an archive: ${name}`)
  const header = Buffer.alloc(BLOCK_BYTES)
  const octal = (value: number, at: number, digits: number): void => {
    header.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1')
  }
  header.write(name, 0, 'latin1')
  octal(0o600, 100, 7)
  octal(0, 108, 7)
  octal(0, 116, 7)
  octal(size, 124, 11)
  octal(Math.floor(timeMs / 1000), 136, 11)
  header.write('0', 156, 'latin1')
  header.write('ustar\0' + '00', 257, 'latin1')
  // The sum over the header, in which its own field counts as spaces.
  header.fill(' ', 148, 156)
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  )
  return header
}
