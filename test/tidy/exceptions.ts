/**
 * What the rules tolerate, by rule and breach, each with its reason. Sizes may shrink and not grow; a row that nothing needs any more is
 * an error: take it out.
 */
import type { Tolerance } from './rule.ts'

const because = (reason: string, ...keys: string[]): Record<string, Tolerance> =>
  Object.fromEntries(keys.map((key) => [key, { reason }]))
const upTo = (sizeMax: number, reason: string): Tolerance => ({ sizeMax, reason })

/** Rule → breach → why it is tolerated. */
export const EXCEPTIONS: Readonly<Record<string, Readonly<Record<string, Tolerance>>>> = {
  documented: {
    ...because(
      'older than the rule; the comment of the type beside it covers it',
      'node/rtu/cycle.ts#Cycle',
      'node/rtu/features.ts#FeatureName',
      'node/rtu/monitors/resources.ts#ResourcesBaseline',
      'node/rtu/outbox.ts#Outbox',
    ),
    ...because(
      'older than the rule; agreement.md defines the word',
      'protocol/consensus/draft.ts#Draft',
      'protocol/consensus/draft.ts#Writable',
      'protocol/consensus/rules.ts#Rules',
      'protocol/consensus/types.ts#Blame',
      'protocol/consensus/types.ts#BlameCertificateMessage',
      'protocol/consensus/types.ts#Commit',
      'protocol/consensus/types.ts#CommitCertificateMessage',
      'protocol/consensus/types.ts#Proposal',
      'protocol/consensus/types.ts#Status',
      'protocol/consensus/types.ts#Vote',
      'protocol/consensus/wire.ts#UnverifiedFrame',
      'protocol/consensus/wire.ts#WireBlameCertificate',
      'protocol/consensus/wire.ts#WireEquivocation',
      'protocol/consensus/wire.ts#WireProposal',
      'protocol/consensus/wire.ts#WireReason',
    ),
  },
  cycles: because(
    'a world knows its parts and they know it, as types; only one direction is loaded',
    'test/simulation/director.ts → test/simulation/member.ts → test/simulation/world.ts → test/simulation/director.ts',
    'test/simulation/director.ts → test/simulation/plot.ts → test/simulation/director.ts',
    'test/simulation/director.ts → test/simulation/plot.ts → test/simulation/reign.ts → test/simulation/director.ts',
    'test/simulation/member.ts → test/simulation/world.ts → test/simulation/faults.ts → test/simulation/member.ts',
    'test/simulation/member.ts → test/simulation/world.ts → test/simulation/member.ts',
    'test/simulation/plot.ts → test/simulation/reign.ts → test/simulation/plot.ts',
    'test/simulation/world.ts → test/simulation/faults.ts → test/simulation/world.ts',
    'test/wholeSimulation/network.ts → test/wholeSimulation/wires.ts → test/wholeSimulation/network.ts',
  ),
  skipped: because('its describe says so', 'test/node/rtu/realMachine.test.ts'),
  lines: {
    'node/rtu/monitor.ts': upTo(1, 'older than the rule'),
    'node/rtu/monitors/processes.ts': upTo(1, 'older than the rule'),
  },
  mirrors: because('older than the rule', 'test/node/rtu/realMachine.test.ts'),
  dead: {
    ...because('for the wiring that is being written', 'node/main.ts#VERSION'),
    ...because(
      'older than the rule: used in its own file only',
      'node/rtu/disk.ts#removeFile',
      'node/rtu/features.ts#FEATURES_VERSION',
      'node/rtu/monitors/files.ts#scoreFiles',
      'node/rtu/monitors/listeners.ts#parseSocketTable',
      'node/rtu/monitors/listeners.ts#scoreListeners',
      'node/rtu/monitors/processes.ts#learnProcesses',
      'node/rtu/monitors/processes.ts#readProcess',
      'node/rtu/monitors/processes.ts#scoreProcesses',
      'node/rtu/monitors/resources.ts#parseLoadMilli',
      'node/rtu/monitors/resources.ts#parseMemoryPpm',
    ),
  },
  dependencies: {
    '@biomejs/biome': { reason: 'run as `biome`' },
    '@types/node': { reason: 'types of Node.js, named in tsconfig.json' },
    typescript: { reason: 'run as `tsc`' },
  },
}
