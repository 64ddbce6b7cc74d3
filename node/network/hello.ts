/**
 * The application hello: first frame each way on every long-lived stream. A dial that "succeeded" may have been refused by the other
 * side a moment later, so a peer counts as connected only after its hello.
 */
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { bytes, decodeAs, encodeAs, integer, record, type TypeOf } from '../../protocol/codec.ts'
import { type Framed, FrameError } from './framed.ts'

/** Version of what is spoken on the streams; peers of another version are refused. */
export const NETWORK_VERSION = 1

/** Chain, version, and the run: 16 random bytes that a process draws at its start. */
export type Hello = TypeOf<typeof helloCodec>
const helloCodec = record({ chainId: bytes(32), version: integer(0, 65_535), run: bytes(16) })

/** The peer said something that cannot be a hello of this chain: its fault or a mistaken configuration. */
export class HelloError extends Error {
  override readonly name = 'HelloError'
}

/**
 * Says ours and hears theirs; the dialler (`first`) speaks first. Returns the run of the peer.
 * Throws HelloError (wrong chain, other version, garbage), FrameError, or the timeout's reason.
 */
export async function exchangeHello(
  framed: Framed,
  ours: Hello,
  first: boolean,
  timeoutMs: number,
): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(timeoutMs)
  const encoded = encodeAs(helloCodec, ours)
  if (first) await framed.write(encoded, timeoutMs)
  const frame = await framed.read(signal)
  if (frame === undefined) throw new FrameError('the stream ended before the hello')
  const theirs = checkHello(frame, ours)
  if (!first) await framed.write(encoded, timeoutMs)
  return theirs.run
}

function checkHello(frame: Uint8Array, ours: Hello): Hello {
  let theirs: Hello
  try {
    theirs = decodeAs(helloCodec, frame, 'hello')
  } catch (error) {
    if (!(error instanceof CborError)) throw error
    throw new HelloError('malformed hello', { cause: error })
  }
  if (!equalBytes(theirs.chainId, ours.chainId))
    throw new HelloError(`wrong chain: the peer is on ${toHex(theirs.chainId).slice(0, 16)}`)
  if (theirs.version !== ours.version)
    throw new HelloError(`network version ${theirs.version}, ours is ${ours.version}`)
  return theirs
}
