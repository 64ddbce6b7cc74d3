/**
 * yamux as it is used here: frames that are sent in one turn of the event loop leave together, and it does not throw from a microtask.
 * Invariants: frames keep their order; none waits longer than the turn in which it was sent; at most `GATHERED_BYTES_MAX` and one frame wait.
 */
import type { StreamMuxerFactory } from '@libp2p/interface'
import { type YamuxMuxerInit, yamux } from '@libp2p/yamux'
import { Uint8ArrayList } from 'uint8arraylist'

/** Bytes of frames that are gathered at most: they fit into one packet of the encryption (65 519 bytes) with the frame that exceeds it, mostly. */
const GATHERED_BYTES_MAX = 32 * 1024

/** The method of a muxer that its exported interface does not list (yamux 8.0.3, pinned). */
type MuxerInternals = { send(data: Uint8Array | Uint8ArrayList): boolean; onTransportClosed(error?: Error): void }

/** The encrypted stream beneath, as its exported interface does not show it (noise 17.0.3, pinned). */
type EncryptedInternals = { readonly decoder?: { lengthDecoder(data: Uint8ArrayList): number } }

const TOO_SHORT = new RangeError('fewer bytes than a length has')

/**
 * The length before each packet, as noise decodes it. After the last packet of a read there is none, and noise learns that from a RangeError:
 * one made each time, with its stack, was 2 % of a member's main thread.
 */
function lengthOf(data: Uint8ArrayList): number {
  if (data.byteLength < 2) throw TOO_SHORT
  return (data.get(0) << 8) | data.get(1)
}

/**
 * By itself yamux hands each frame down alone: an encryption, two writes to the socket and, at the other end, as many reads and events. Here
 * they are gathered. It also opens each stream in a microtask, and if the connection was closed in between, the throw has no caller and
 * would end the process: any peer that hangs up at the right moment could do that.
 */
export function guardedYamux(init: YamuxMuxerInit): () => StreamMuxerFactory {
  const make = yamux(init)
  return () => {
    const factory = make()
    const create = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (connection) => {
      const { decoder } = connection as EncryptedInternals
      if (decoder !== undefined) decoder.lengthDecoder = lengthOf
      const muxer = create(connection)
      const internals = muxer as unknown as MuxerInternals
      const send = internals.send.bind(muxer)
      const gathered = new Uint8ArrayList()
      let scheduled = false
      const flush = (): boolean => {
        if (gathered.byteLength === 0) return true
        const frames = gathered.subarray()
        gathered.consume(gathered.byteLength)
        try {
          return send(frames)
        } catch (cause) {
          const error = cause instanceof Error ? cause : new Error('send failed')
          queueMicrotask(() => {
            muxer.abort(error)
            connection.abort(error)
          })
          return false
        }
      }
      internals.send = (data) => {
        gathered.append(data)
        if (gathered.byteLength >= GATHERED_BYTES_MAX) return flush()
        if (!scheduled) {
          scheduled = true
          setImmediate(() => {
            scheduled = false
            flush()
          })
        }
        return true
      }
      // The last frames say that, and why, the connection ends: they leave before it does.
      const close = muxer.close.bind(muxer)
      muxer.close = async (options) => {
        await close(options)
        flush()
      }
      const abort = muxer.abort.bind(muxer)
      muxer.abort = (error) => {
        abort(error)
        flush()
      }
      return muxer
    }
    return factory
  }
}
