// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/// Named tensors in a file, with the file's metadata, whichever format it has.
///
/// Opening reads and checks the headers only; the elements are read when asked for, each time anew,
/// so that files larger than memory work. Nothing stays open and nothing needs to be closed. An
/// instance is immutable and may be shared between threads.
///
/// Files are treated as hostile. Every fault, a missing file included, is a [TensorFileException];
/// what is allocated stays in proportion to the bytes that are really in the file, whatever its
/// headers claim.
public abstract sealed class TensorFile permits SafeTensors, NpyFile, NpzFile {
  private static final int LONGEST_ARRAY = Integer.MAX_VALUE - 8;

  private final Path path;
  private final Map<String, String> metadata;
  private final Map<String, StoredTensor> tensors;
  private final Map<String, String> unread;

  /// @param tensors by name, in the file's order
  /// @param unread types of those that cannot be read, by name, in the file's order
  TensorFile(
      Path path,
      Map<String, String> metadata,
      Map<String, StoredTensor> tensors,
      Map<String, String> unread) {
    this.path = path;
    this.metadata = Collections.unmodifiableMap(metadata);
    this.tensors = tensors;
    this.unread = Collections.unmodifiableMap(unread);
  }

  /// The file, as it was named when opened.
  public final Path path() {
    return path;
  }

  /// Names of the tensors in the order of the file's header, those of [#unread] left out.
  public final List<String> names() {
    return List.copyOf(tensors.keySet());
  }

  /// Tensors whose type is none of [DType]: their types as the file writes them, by name. They are
  /// passed over; only asking for one of them is a fault.
  public final Map<String, String> unread() {
    return unread;
  }

  /// Whether the file holds a tensor of this name that can be read.
  public final boolean contains(String name) {
    return tensors.containsKey(name);
  }

  /// The file's metadata in the order of its header, empty for formats without any; unmodifiable.
  public final Map<String, String> metadata() {
    return metadata;
  }

  /// Type of the elements as stored.
  ///
  /// @param name one of [#names()]
  /// @throws TensorFileException if the file holds no such tensor
  public final DType dtype(String name) throws TensorFileException {
    return find(name).dtype;
  }

  /// Sizes of the dimensions, outermost first, as a fresh array; empty for a scalar.
  ///
  /// @param name one of [#names()]
  /// @throws TensorFileException if the file holds no such tensor
  public final long[] shape(String name) throws TensorFileException {
    return find(name).shape.clone();
  }

  /// A tensor's elements as float32, row-major. F64 and I64 are rounded to nearest, F64 beyond the
  /// range becomes infinite; the other types are exact but for I32 beyond 2²⁴.
  ///
  /// @param name one of [#names()]
  /// @return a tensor with fresh storage
  /// @throws TensorFileException if there is no such tensor, it does not fit one array, or its
  ///     elements cannot be read
  public final Tensor tensor(String name) throws TensorFileException {
    StoredTensor stored = find(name);
    int[] shape = arrayShape(stored);
    float[] data = new float[checkedLength(stored)];
    read(stored, reader -> reader.floats(data));
    return Tensor.of(data, shape);
  }

  /// A tensor's elements as double, row-major; exact but for I64 beyond 2⁵³.
  ///
  /// @param name one of [#names()]
  /// @return a fresh array
  /// @throws TensorFileException if there is no such tensor, it does not fit one array, or its
  ///     elements cannot be read
  public final double[] doubles(String name) throws TensorFileException {
    StoredTensor stored = find(name);
    double[] data = new double[checkedLength(stored)];
    read(stored, reader -> reader.doubles(data));
    return data;
  }

  /// The elements of a tensor of integral type, row-major; a BOOL is 0 or 1.
  ///
  /// @param name one of [#names()]
  /// @return a fresh array
  /// @throws TensorFileException if there is no such tensor, its type is not integral, an I64 does
  ///     not fit 32 bits, it does not fit one array, or its elements cannot be read
  public final int[] ints(String name) throws TensorFileException {
    StoredTensor stored = find(name);
    if (!stored.dtype.isIntegral()) {
      throw fault(stored, "must be of an integral type, but was " + stored.dtype);
    }
    int[] data = new int[checkedLength(stored)];
    read(stored, reader -> reader.ints(data));
    return data;
  }

  /// Opens the bytes of one tensor; the stream may go on after them.
  abstract InputStream elements(StoredTensor tensor) throws IOException;

  /// Called before memory for a tensor is allocated: the last chance to find that its bytes, which
  /// the headers claim, are not there. Nothing to do where opening has compared them.
  ///
  /// @throws TensorFileException if the bytes are not there
  void beforeAllocation(StoredTensor tensor) throws IOException {}

  private interface Decoding {
    void run(ElementReader reader) throws IOException;
  }

  private void read(StoredTensor stored, Decoding decoding) throws TensorFileException {
    try (InputStream in = elements(stored)) {
      decoding.run(new ElementReader(in, stored));
    } catch (TensorFileException e) {
      throw e;
    } catch (ElementReader.BadElementException e) {
      throw fault(stored, "holds " + e.getMessage());
    } catch (EOFException e) {
      throw new TensorFileException(
          path, "tensor " + TensorFileException.quote(stored.name) + " ends too early", e);
    } catch (IOException e) {
      throw unreadable(path, e);
    }
  }

  private StoredTensor find(String name) throws TensorFileException {
    StoredTensor stored = tensors.get(name);
    if (unread.containsKey(name)) {
      throw new TensorFileException(
          path,
          "tensor "
              + TensorFileException.quote(name)
              + " must be of one of the types "
              + Arrays.toString(DType.values())
              + ", but was "
              + TensorFileException.quote(String.valueOf(unread.get(name))));
    }
    if (stored == null) {
      String known = tensors.isEmpty() ? "none" : String.join(", ", tensors.keySet());
      if (known.length() > 200) {
        known = known.substring(0, 200) + "…";
      }
      throw new TensorFileException(
          path, "holds no tensor " + TensorFileException.quote(name) + "; it holds " + known);
    }
    return stored;
  }

  private int checkedLength(StoredTensor stored) throws TensorFileException {
    if (stored.count > LONGEST_ARRAY) {
      throw tooLarge(stored);
    }
    try {
      beforeAllocation(stored);
    } catch (TensorFileException e) {
      throw e;
    } catch (IOException e) {
      throw unreadable(path, e);
    }
    return (int) stored.count;
  }

  private int[] arrayShape(StoredTensor stored) throws TensorFileException {
    int[] shape = new int[stored.shape.length];
    long size = 1;
    for (int i = 0; i < shape.length; i++) {
      if (stored.shape[i] > LONGEST_ARRAY) {
        throw tooLarge(stored);
      }
      shape[i] = (int) stored.shape[i];
      size *= shape[i];
      if (size > LONGEST_ARRAY) {
        throw tooLarge(stored);
      }
    }
    return shape;
  }

  private TensorFileException tooLarge(StoredTensor stored) {
    return fault(
        stored,
        "must hold at most "
            + LONGEST_ARRAY
            + " elements to be read as one array, but was "
            + Arrays.toString(stored.shape));
  }

  private TensorFileException fault(StoredTensor stored, String fault) {
    return new TensorFileException(
        path, "tensor " + TensorFileException.quote(stored.name) + " " + fault);
  }

  /// Refuses what is there but no file with a beginning and an end: a pipe would block for ever.
  static void requireRegular(Path path) throws TensorFileException {
    if (Files.exists(path) && !Files.isRegularFile(path)) {
      String found = Files.isDirectory(path) ? "a directory" : "a pipe or a device";
      throw new TensorFileException(path, "must be a regular file, but was " + found);
    }
  }

  /// Opens a file again at a position.
  ///
  /// @param expectedBytes the file's length when its header was read
  static InputStream streamAt(Path path, long expectedBytes, long position) throws IOException {
    FileChannel channel = FileChannel.open(path, StandardOpenOption.READ);
    try {
      if (channel.size() != expectedBytes) {
        throw new TensorFileException(path, "has changed since it was opened");
      }
      channel.position(position);
      return Channels.newInputStream(channel);
    } catch (IOException e) {
      channel.close();
      throw e;
    }
  }

  /// The one-line answer to a failing file system.
  static TensorFileException unreadable(Path path, IOException e) {
    String reason =
        switch (e) {
          case NoSuchFileException _ -> "there is no such file";
          case AccessDeniedException _ -> "the file may not be read";
          default -> "the file cannot be read: " + e.getMessage();
        };
    return new TensorFileException(path, reason, e);
  }
}
