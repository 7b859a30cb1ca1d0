// The data: Parquet files as base64 in scripts beside the page, so that the page also works where it is opened from a folder, where
// a browser lets a page load scripts but not fetch files.
import { decompress } from 'fzstd';
import { parquetReadObjects } from 'hyparquet';

/** @typedef {Record<string, any>} Row */

/** t3b writes zstd and nothing else. */
const compressors = {
  /** @param {Uint8Array} input @param {number} length */
  ZSTD: (input, length) => decompress(input, new Uint8Array(length)),
};

/** @param {string} text @returns {ArrayBuffer} */
function bytesOf(text) {
  const packed = atob(text);
  const bytes = new Uint8Array(packed.length);
  for (let place = 0; place < packed.length; place += 1) bytes[place] = packed.charCodeAt(place);
  return bytes.buffer;
}

/** Counts are far below 2^53. @param {Row} row */
function plain(row) {
  for (const name of Object.keys(row)) {
    if (typeof row[name] === 'bigint') row[name] = Number(row[name]);
  }
  return row;
}

/** What the data scripts have put down. @returns {Record<string, string>} */
const put = () => /** @type {any} */ (globalThis).t3bTables ?? {};

/**
 * All rows of one table; none where there is no such table.
 * @param {string} name @returns {Promise<Row[]>}
 */
export async function rows(name) {
  const text = put()[name];
  if (text === undefined) return [];
  const found = await parquetReadObjects({ file: bytesOf(text), compressors });
  return found.map(plain);
}

/**
 * Loads the lines of one night, which are not loaded with the page.
 * @param {string} runId @returns {Promise<Row[]>}
 */
export async function nightRows(runId) {
  const name = `nights/${runId}`;
  if (put()[name] === undefined) {
    await new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.src = `data/${name}.js`;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`data/${name}.js cannot be loaded`));
      document.head.append(script);
    });
  }
  return rows(name);
}
