/** The logger that the parts of a node use; pino fits. */
import type { NetworkLog } from './network/network.ts'

/** What the network logs, and errors. */
export type NodeLog = NetworkLog & { error(fields: object, message: string): void }
