/**
 * Categories of anomaly events: the published list. A report with any other word is refused (TX_PAYLOAD).
 * The technique is the one of MITRE ATT&CK for ICS that the category most often points to: a hint for people, not a finding.
 * The scope says where it happens. `host`: on the reporting machine, so a neighbour need not see the like. `segment`: in what all see.
 * Invariant: a category is never renamed or removed, since counters and history name it.
 */

/** What a category means. */
export type Category = {
  readonly technique: string
  readonly techniqueName: string
  readonly scope: 'host' | 'segment'
  readonly description: string
}

/** Category → meaning. */
export const CATEGORIES = {
  'process.unknown': {
    technique: 'T0863',
    techniqueName: 'User Execution',
    scope: 'host',
    description: 'A program runs that is not in the baseline.',
  },
  'process.changed': {
    technique: 'T0849',
    techniqueName: 'Masquerading',
    scope: 'host',
    description: 'A known program runs from another file, with another hash.',
  },
  'process.parent': {
    technique: 'T0807',
    techniqueName: 'Command-Line Interface',
    scope: 'host',
    description: 'A known program was started by a program that never started it in the baseline.',
  },
  'file.content': {
    technique: 'T0889',
    techniqueName: 'Modify Program',
    scope: 'host',
    description: 'A watched file has another content hash.',
  },
  'file.mode': {
    technique: 'T0890',
    techniqueName: 'Exploitation for Privilege Escalation',
    scope: 'host',
    description: 'A watched file has another owner or other permissions.',
  },
  'network.listener': {
    technique: 'T0885',
    techniqueName: 'Commonly Used Port',
    scope: 'host',
    description: 'A port listens that is not in the baseline, or by another program.',
  },
  'network.peer': {
    technique: 'T0869',
    techniqueName: 'Standard Application Layer Protocol',
    scope: 'host',
    description: 'The device speaks with an address that is not in the baseline.',
  },
  'network.flow': {
    technique: 'T0846',
    techniqueName: 'Remote System Discovery',
    scope: 'host',
    description: 'Volume, rate or fan-out of connections is unusual.',
  },
  'resource.cpu': {
    technique: 'T0814',
    techniqueName: 'Denial of Service',
    scope: 'host',
    description: 'Processor load is unusual.',
  },
  'resource.memory': {
    technique: 'T0814',
    techniqueName: 'Denial of Service',
    scope: 'host',
    description: 'Memory use is unusual.',
  },
  'resource.disk': {
    technique: 'T0809',
    techniqueName: 'Data Destruction',
    scope: 'host',
    description: 'Disk use or writing is unusual, or stored data disappears.',
  },
  'login.failed': {
    technique: 'T0859',
    techniqueName: 'Valid Accounts',
    scope: 'host',
    description: 'Log-ins fail more often than usual, as when accounts are tried out.',
  },
  'log.match': {
    technique: 'T0886',
    techniqueName: 'Remote Services',
    scope: 'host',
    description: 'A watched log has a line that the operator asked to be told of.',
  },
  'log.removed': {
    technique: 'T0872',
    techniqueName: 'Indicator Removal on Host',
    scope: 'host',
    description: 'A watched log is gone or was cut, and no rotated copy is beside it.',
  },
  'clock.skew': {
    technique: 'T0836',
    techniqueName: 'Modify Parameter',
    scope: 'host',
    description: 'The device’s clock differs from its peers’ or jumps.',
  },
  'signal.anomaly': {
    technique: 'T0832',
    techniqueName: 'Manipulation of View',
    scope: 'segment',
    description: 'A sensor signal departs from its model: stuck, drifting, spiking or out of step with others.',
  },
  'position.spoofed': {
    technique: 'T0856',
    techniqueName: 'Spoof Reporting Message',
    scope: 'segment',
    description: 'Satellite positions or times are implausible or contradict each other.',
  },
  'external.alert': {
    technique: 'T0866',
    techniqueName: 'Exploitation of Remote Services',
    scope: 'segment',
    description: 'Another security system raised an alert about the device.',
  },
} as const satisfies Record<string, Category>

/** A word of the list. */
export type CategoryName = keyof typeof CATEGORIES
/** The words of the list, in the order in which they are published. */
export const CATEGORY_NAMES = Object.keys(CATEGORIES) as CategoryName[]
