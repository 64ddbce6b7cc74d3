/**
 * RTU: what it tells of itself to who may open its folder: one answer in JSON for each connection to a socket in the data directory.
 * Invariants: nothing that is sent in is read; the folder belongs to the owner alone, and so does the socket; where it cannot be made (a
 * path that is too
 * long, another system) the unit runs without it and says so.
 */
import { chmod, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { NetworkLog } from '../network/network.ts'

/** The socket in a data directory. */
export const statusSocketIn = (dataDirectory: string): string => join(dataDirectory, 'status.sock')
/** Connections at once; further ones are closed. */
export const STATUS_CONNECTIONS_MAX = 4

/**
 * Answers at `statusSocketIn(dataDirectory)`; undefined where it cannot. The directory is locked by the caller, so what lies there is a
 * remainder.
 */
export async function serveStatus(
  dataDirectory: string,
  status: () => unknown,
  log: NetworkLog,
): Promise<Server | undefined> {
  const path = statusSocketIn(dataDirectory)
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end(`${JSON.stringify(status())}\n`)
  })
  server.maxConnections = STATUS_CONNECTIONS_MAX
  try {
    await rm(path, { force: true })
    const listening = Promise.withResolvers<void>()
    server.once('error', listening.reject)
    server.listen(path, listening.resolve)
    await listening.promise
    server.on('error', (error) => log.warn({ error }, 'the status of this unit is told no longer'))
    server.unref()
    await chmod(path, 0o600)
    return server
  } catch (error) {
    log.warn({ error, path }, 'the status of this unit cannot be asked: no socket in its folder')
    return undefined
  }
}
