/**
 * Categories of anomaly events: the published list. A report with any other word is refused (TX_PAYLOAD).
 * The technique is the one of MITRE ATT&CK for ICS that the category most often points to: a hint for people, not a finding.
 * Invariant: a category is never renamed or removed, since counters and history name it.
 */

/** What a category means. */
export type Category = { readonly technique: string; readonly techniqueName: string; readonly description: string }

/** Category → meaning. */
export const CATEGORIES = {
  'process.unknown': {
    technique: 'T0863',
    techniqueName: 'User Execution',
    description: 'A program runs that is not in the baseline.',
  },
  'process.changed': {
    technique: 'T0849',
    techniqueName: 'Masquerading',
    description: 'A known program runs from another file, with another hash or as another user.',
  },
  'file.content': {
    technique: 'T0889',
    techniqueName: 'Modify Program',
    description: 'A watched file has another content hash.',
  },
  'file.mode': {
    technique: 'T0890',
    techniqueName: 'Exploitation for Privilege Escalation',
    description: 'A watched file has another owner or other permissions.',
  },
  'network.listener': {
    technique: 'T0885',
    techniqueName: 'Commonly Used Port',
    description: 'A port listens that is not in the baseline, or by another program.',
  },
  'network.peer': {
    technique: 'T0869',
    techniqueName: 'Standard Application Layer Protocol',
    description: 'The device speaks with an address that is not in the baseline.',
  },
  'network.flow': {
    technique: 'T0846',
    techniqueName: 'Remote System Discovery',
    description: 'Volume, rate or fan-out of connections is unusual.',
  },
  'resource.cpu': {
    technique: 'T0814',
    techniqueName: 'Denial of Service',
    description: 'Processor load is unusual.',
  },
  'resource.memory': {
    technique: 'T0814',
    techniqueName: 'Denial of Service',
    description: 'Memory use is unusual.',
  },
  'resource.disk': {
    technique: 'T0809',
    techniqueName: 'Data Destruction',
    description: 'Disk use or writing is unusual, or stored data disappears.',
  },
  'login.failed': {
    technique: 'T0859',
    techniqueName: 'Valid Accounts',
    description: 'Log-ins fail more often than usual, as when accounts are tried out.',
  },
  'clock.skew': {
    technique: 'T0836',
    techniqueName: 'Modify Parameter',
    description: 'The device’s clock differs from its peers’ or jumps.',
  },
  'signal.anomaly': {
    technique: 'T0832',
    techniqueName: 'Manipulation of View',
    description: 'A sensor signal departs from its model: stuck, drifting, spiking or out of step with others.',
  },
  'position.spoofed': {
    technique: 'T0856',
    techniqueName: 'Spoof Reporting Message',
    description: 'Satellite positions or times are implausible or contradict each other.',
  },
  'external.alert': {
    technique: 'T0866',
    techniqueName: 'Exploitation of Remote Services',
    description: 'Another security system raised an alert about the device.',
  },
} as const satisfies Record<string, Category>

/** A word of the list. */
export type CategoryName = keyof typeof CATEGORIES
/** The words of the list, in the order in which they are published. */
export const CATEGORY_NAMES = Object.keys(CATEGORIES) as CategoryName[]
