// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Enumeration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;

/// A NumPy `.npz` file, read lazily: a ZIP archive in which every entry `NAME.npy` holds the array
/// `NAME`, stored or deflated. Other entries are ignored, and so are arrays of other types unless
/// they are asked for. See [NpyFile] for what an array may be.
///
/// The archive's claims are not believed: an entry that claims more than deflate can yield from its
/// bytes is refused on opening, one that claims more than the whole file is decompressed once
/// without being kept before memory is allocated, and every array's checksum is verified.
public final class NpzFile extends TensorFile {
  private static final String SUFFIX = ".npy";

  /// Deflate's limit: 258 bytes from 2 bits, hence 1032 from a byte.
  private static final long HIGHEST_RATIO = 1032;

  private final long fileBytes;

  private NpzFile(
      Path path, Map<String, StoredTensor> tensors, Map<String, String> unread, long fileBytes) {
    super(path, Map.of(), tensors, unread);
    this.fileBytes = fileBytes;
  }

  /// Reads and checks the archive's directory and every array's header.
  ///
  /// @param path the file, on the default file system
  /// @return its arrays, not yet read
  /// @throws TensorFileException if the file is absent or unreadable or breaks any rule
  public static NpzFile open(Path path) throws TensorFileException {
    requireRegular(path);
    try {
      long fileBytes = Files.size(path);
      Map<String, StoredTensor> tensors = new LinkedHashMap<>();
      Map<String, String> unread = new LinkedHashMap<>();
      try (ZipFile zip = openZip(path)) {
        long packed = 0;
        for (Enumeration<? extends ZipEntry> e = zip.entries(); e.hasMoreElements(); ) {
          ZipEntry entry = e.nextElement();
          if (!entry.getName().endsWith(SUFFIX)) {
            continue;
          }
          String name = entry.getName().substring(0, entry.getName().length() - SUFFIX.length());
          packed += checkedPackedBytes(path, name, entry);
          if (packed > fileBytes) {
            throw fault(path, name, "must not overlap other entries");
          }
          if (tensors.containsKey(name) || unread.containsKey(name)) {
            throw fault(path, name, "occurs twice");
          }
          try {
            tensors.put(name, header(path, zip, name, entry));
          } catch (NpyHeader.UnreadTypeException other) {
            unread.put(name, other.type());
          }
        }
      }
      return new NpzFile(path, tensors, unread, fileBytes);
    } catch (IOException e) {
      throw asFault(path, e);
    }
  }

  @Override
  void beforeAllocation(StoredTensor tensor) throws IOException {
    if (tensor.bytes() <= fileBytes) {
      return;
    }
    byte[] buffer = new byte[1 << 13];
    try (InputStream in = elements(tensor)) {
      for (long left = tensor.bytes(); left > 0; ) {
        int n = in.read(buffer, 0, (int) Math.min(buffer.length, left));
        if (n < 0) {
          throw fault(path(), tensor.name, "holds less than it claims");
        }
        left -= n;
      }
    }
  }

  @Override
  InputStream elements(StoredTensor tensor) throws IOException {
    ZipFile zip = openZip(path());
    try {
      ZipEntry entry = zip.getEntry(tensor.name + SUFFIX);
      if (entry == null || entry.getSize() != tensor.end()) {
        throw new TensorFileException(path(), "has changed since it was opened");
      }
      InputStream in = new EntryStream(path(), zip, entry, tensor.name);
      in.skipNBytes(tensor.begin);
      return in;
    } catch (IOException e) {
      zip.close();
      throw asFault(path(), e);
    }
  }

  private static ZipFile openZip(Path path) throws IOException {
    return new ZipFile(path.toFile());
  }

  private static long checkedPackedBytes(Path path, String name, ZipEntry entry)
      throws TensorFileException {
    long packed = entry.getCompressedSize();
    long claimed = entry.getSize();
    boolean stored = entry.getMethod() == ZipEntry.STORED;
    if (packed < 0 || claimed < 0 || claimed / (stored ? 1 : HIGHEST_RATIO) > packed) {
      throw fault(
          path, name, "claims " + claimed + " bytes, which " + packed + " bytes cannot hold");
    }
    return packed;
  }

  private static StoredTensor header(Path path, ZipFile zip, String name, ZipEntry entry)
      throws IOException {
    try (InputStream in = zip.getInputStream(entry)) {
      StoredTensor tensor = NpyHeader.read(path, name, in);
      NpyHeader.requireLength(path, tensor, entry.getSize());
      return tensor;
    }
  }

  private static TensorFileException fault(Path path, String name, String fault) {
    return new TensorFileException(path, "entry " + TensorFileException.quote(name) + ": " + fault);
  }

  private static TensorFileException asFault(Path path, IOException e) {
    return switch (e) {
      case TensorFileException fault -> fault;
      case ZipException _ ->
          new TensorFileException(path, "is not a sound ZIP archive: " + e.getMessage(), e);
      default -> unreadable(path, e);
    };
  }

  /// One entry's bytes; whoever reads the last of them learns whether length and checksum are as
  /// the directory says. Closing it closes the archive.
  private static final class EntryStream extends FilterInputStream {
    private final Path path;
    private final ZipFile zip;
    private final ZipEntry entry;
    private final String name;
    private final CRC32 checksum = new CRC32();
    private long left;

    EntryStream(Path path, ZipFile zip, ZipEntry entry, String name) throws IOException {
      super(zip.getInputStream(entry));
      this.path = path;
      this.zip = zip;
      this.entry = entry;
      this.name = name;
      left = entry.getSize();
    }

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : Byte.toUnsignedInt(one[0]);
    }

    @Override
    public int read(byte[] target, int offset, int length) throws IOException {
      int n = readSound(target, offset, (int) Math.min(length, left));
      if (n > 0) {
        checksum.update(target, offset, n);
        left -= n;
        if (left == 0 && readSound(new byte[1], 0, 1) >= 0) {
          throw fault(path, name, "holds more than it claims");
        }
        if (left == 0 && checksum.getValue() != entry.getCrc()) {
          throw fault(path, name, "does not match its checksum");
        }
      }
      return n;
    }

    private int readSound(byte[] target, int offset, int length) throws IOException {
      try {
        return in.read(target, offset, length);
      } catch (ZipException e) {
        throw fault(path, name, "is not sound: " + e.getMessage());
      }
    }

    @Override
    public long skip(long count) throws IOException {
      byte[] skipped = new byte[(int) Math.min(count, 1 << 13)];
      return Math.max(0, read(skipped, 0, skipped.length));
    }

    @Override
    public void close() throws IOException {
      try (zip) {
        super.close();
      }
    }
  }
}
