/**
 * vitest 5 reports failures with Map.groupBy, which Node 20 lacks; without it the report of a failed test is lost.
 * Imported before vitest; nothing on a newer Node.
 */
const map = /** @type {{ groupBy?: unknown }} */ (/** @type {unknown} */ (Map));
map.groupBy ??= groupBy;

/**
 * @template Item, Key
 * @param {Iterable<Item>} items
 * @param {(item: Item, index: number) => Key} keyOf
 * @returns {Map<Key, Item[]>}
 */
function groupBy(items, keyOf) {
  /** @type {Map<Key, Item[]>} */
  const groups = new Map();
  let index = 0;
  for (const item of items) {
    const key = keyOf(item, index++);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
