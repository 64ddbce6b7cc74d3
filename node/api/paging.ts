/**
 * Stage: HTTP API. Pages: a cursor is opaque to clients and says after what the next page begins.
 * Invariants: a cursor of one list is refused by another; whatever a client makes up is refused or a place in the list, and never more.
 */
import { ApiRefusal } from './problem.ts'

/** Items of a page unless the client says otherwise. */
export const PAGE_ITEMS = 20
/** Items of a page at most. */
export const PAGE_ITEMS_MAX = 100
/** Characters of a cursor: a key of 256 characters of 3 bytes, in base64url, and its list. */
export const CURSOR_CHARACTERS_MAX = 1200

/** A page of an answer: `next` is the cursor of the page that follows, null at the end. */
export type Page<T> = { readonly items: readonly T[]; readonly next: string | null }

/** The cursor of `list` for what comes after `place`. */
const cursorOf = (list: string, place: string): string => Buffer.from(`${list}:${place}`).toString('base64url')

/** The place that `cursor` names in `list`; undefined without a cursor. ApiRefusal CURSOR_INVALID if it does not match `pattern`. */
export function placeOf(list: string, cursor: string | undefined, pattern: RegExp): string | undefined {
  if (cursor === undefined) return undefined
  const text = Buffer.from(cursor, 'base64url').toString()
  const place = text.slice(list.length + 1)
  // Encoding it again catches foreign characters and ill-formed UTF-8, which the decoder passes over.
  if (!text.startsWith(`${list}:`) || !pattern.test(place) || cursorOf(list, place) !== cursor)
    throw new ApiRefusal('CURSOR_INVALID')
  return place
}

/** As `placeOf`, for lists whose places are numbers. */
export function numberOf(list: string, cursor: string | undefined): number | undefined {
  const place = placeOf(list, cursor, /^(?:0|[1-9][0-9]{0,14})$/)
  return place === undefined ? undefined : Number(place)
}

/** A page of what was found when one item more than `limit` was asked for: that item only says that there is more. */
export function pageOf<F, T>(
  found: readonly F[],
  limit: number,
  list: string,
  place: (item: F) => string,
  view: (item: F) => T,
): Page<T> {
  const shown = found.slice(0, limit)
  const last = shown.at(-1)
  return {
    items: shown.map(view),
    next: found.length > limit && last !== undefined ? cursorOf(list, place(last)) : null,
  }
}
