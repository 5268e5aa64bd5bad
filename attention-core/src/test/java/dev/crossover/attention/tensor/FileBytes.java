// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/// Files put together from their formats' definitions, independently of our writers, and the meter
/// by which their readers' memory is judged.
final class FileBytes {
  private FileBytes() {}

  /// A file whose header says what it likes.
  static byte[] safetensors(String header, byte[] data) {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    return safetensors(text.length, text, data);
  }

  static byte[] safetensors(long length, byte[] header, byte[] data) {
    return little(8 + header.length + data.length).putLong(length).put(header).put(data).array();
  }

  /// A NumPy array whose literal says what it likes.
  static byte[] npy(int version, String literal, byte[] data) {
    byte[] text = literal.getBytes(StandardCharsets.UTF_8);
    int width = version == 1 ? 2 : 4;
    ByteBuffer bytes = little(8 + width + text.length + data.length);
    bytes.put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', (byte) version, 0});
    if (version == 1) {
      bytes.putShort((short) text.length);
    } else {
      bytes.putInt(text.length);
    }
    return bytes.put(text).put(data).array();
  }

  static byte[] npy(String descr, String shape, byte[] data) {
    return npy(
        1, "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + "}", data);
  }

  /// A ZIP archive.
  ///
  /// @param namesAndBytes a String, a byte[], a String, …
  static byte[] zip(boolean deflated, Object... namesAndBytes) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      for (int i = 0; i < namesAndBytes.length; i += 2) {
        byte[] content = (byte[]) namesAndBytes[i + 1];
        ZipEntry entry = new ZipEntry((String) namesAndBytes[i]);
        if (!deflated) {
          entry.setMethod(ZipEntry.STORED);
          entry.setSize(content.length);
          java.util.zip.CRC32 crc = new java.util.zip.CRC32();
          crc.update(content);
          entry.setCrc(crc.getValue());
        }
        zip.putNextEntry(entry);
        zip.write(content);
        zip.closeEntry();
      }
    }
    return bytes.toByteArray();
  }

  static ByteBuffer little(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /// An action that may fail.
  interface Action {
    void run() throws IOException;
  }

  /// Bytes that an action allocates on this thread, live or not, whether or not it fails.
  static long allocatedBy(Action action) throws IOException {
    var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    try {
      action.run();
    } catch (TensorFileException _) {
      // The answer that hostile files should get.
    }
    return threads.getCurrentThreadAllocatedBytes() - before;
  }
}
