// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/// A `.safetensors` file, read lazily.
///
/// Layout: 8 bytes with the header's length, unsigned and little-endian; the header, a UTF-8 JSON
/// object that begins with `{` and may end in spaces; the elements of all tensors, row-major,
/// little-endian. Source: the format section of huggingface/safetensors' README.
///
/// As in the reference reader, the tensors must fill the data without gap, overlap or rest, in any
/// order, a range must hold exactly the shape's elements, and a header is at most 100 million
/// bytes. Stricter than the reference: fields other than `dtype`, `shape` and `data_offsets`, and
/// duplicate names are refused. Tensors of types outside [DType] are passed over.
public final class SafeTensors extends TensorFile {
  private static final int LENGTH_BYTES = 8;
  private static final long LONGEST_HEADER = 100_000_000;

  private final long dataStart;
  private final long fileBytes;

  private SafeTensors(Path path, SafeTensorsHeader header, long dataStart, long fileBytes) {
    super(path, header.metadata(), header.tensors(), header.unread());
    this.dataStart = dataStart;
    this.fileBytes = fileBytes;
  }

  /// Reads and checks a file's header.
  ///
  /// @param path the file
  /// @return its tensors, not yet read
  /// @throws TensorFileException if the file is absent or unreadable or breaks any rule
  public static SafeTensors open(Path path) throws TensorFileException {
    requireRegular(path);
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      long fileBytes = channel.size();
      long headerBytes = headerLength(path, channel, fileBytes);
      byte[] bytes = new byte[(int) headerBytes];
      readFully(path, channel, ByteBuffer.wrap(bytes));
      SafeTensorsHeader header = SafeTensorsHeader.parse(path, bytes);
      long dataStart = LENGTH_BYTES + headerBytes;
      checkLayout(path, header, fileBytes - dataStart);
      return new SafeTensors(path, header, dataStart, fileBytes);
    } catch (TensorFileException e) {
      throw e;
    } catch (IOException e) {
      throw unreadable(path, e);
    }
  }

  @Override
  InputStream elements(StoredTensor tensor) throws IOException {
    return streamAt(path(), fileBytes, dataStart + tensor.begin);
  }

  private static long headerLength(Path path, FileChannel channel, long fileBytes)
      throws IOException {
    if (fileBytes < LENGTH_BYTES) {
      throw new TensorFileException(
          path, "must begin with 8 bytes of header length, but holds " + fileBytes + " bytes");
    }
    ByteBuffer buffer = ByteBuffer.allocate(LENGTH_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    readFully(path, channel, buffer);
    long length = buffer.getLong(0);
    if (Long.compareUnsigned(length, fileBytes - LENGTH_BYTES) > 0) {
      throw new TensorFileException(
          path,
          "header length must be at most the "
              + (fileBytes - LENGTH_BYTES)
              + " bytes that follow, but was "
              + Long.toUnsignedString(length));
    }
    if (length > LONGEST_HEADER) {
      throw new TensorFileException(
          path, "header length must be at most " + LONGEST_HEADER + ", but was " + length);
    }
    return length;
  }

  private static void readFully(Path path, FileChannel channel, ByteBuffer buffer)
      throws IOException {
    while (buffer.hasRemaining()) {
      if (channel.read(buffer) < 0) {
        throw new TensorFileException(path, "ends within its header");
      }
    }
  }

  /// In the order of their offsets the tensors must follow one another from 0 to the data's end.
  private static void checkLayout(Path path, SafeTensorsHeader header, long dataBytes)
      throws TensorFileException {
    List<StoredTensor> byOffset = new ArrayList<>(header.ranges());
    byOffset.sort(
        Comparator.<StoredTensor>comparingLong(t -> t.begin).thenComparingLong(StoredTensor::end));
    long expected = 0;
    for (StoredTensor tensor : byOffset) {
      String subject = "tensor " + TensorFileException.quote(tensor.name) + " ";
      if (tensor.end() > dataBytes) {
        throw new TensorFileException(
            path,
            subject
                + "must lie within the "
                + dataBytes
                + " bytes of data, but ends at "
                + tensor.end());
      }
      if (tensor.begin != expected) {
        String fault = tensor.begin < expected ? "overlaps another" : "leaves a gap before it";
        throw new TensorFileException(
            path, subject + fault + ": must begin at " + expected + ", but was " + tensor.begin);
      }
      expected = tensor.end();
    }
    if (expected != dataBytes) {
      throw new TensorFileException(
          path, "holds " + (dataBytes - expected) + " bytes that belong to no tensor");
    }
  }
}
