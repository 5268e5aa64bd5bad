// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import dev.crossover.attention.tensor.AtomicFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// A file of records of any kind, one JSON line each, that survives a kill at any moment.
///
/// A record is appended with one write of its whole line and forced to disk before [#append]
/// returns. A writer that finds the file without a final line break (an earlier writer died inside
/// a write) first ends that line, so that the torn text stays a line of its own, and readers skip
/// it with a warning.
public final class JsonLines implements AutoCloseable {
  private static final String BYTE_ORDER_MARK = "\uFEFF";

  private final Path path;
  private final FileChannel channel;
  private final FileLock lock;

  private JsonLines(Path path, FileChannel channel, FileLock lock) {
    this.path = path;
    this.channel = channel;
    this.lock = lock;
  }

  /// Opens a file for appending, creating it and its folder if necessary.
  ///
  /// @throws IOException if another writer holds the file, or it cannot be opened
  public static JsonLines open(Path path) throws IOException {
    Path folder = path.toAbsolutePath().getParent();
    if (folder != null) {
      Files.createDirectories(folder);
    }
    FileChannel channel =
        FileChannel.open(
            path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
    try {
      JsonLines file = new JsonLines(path, channel, tryLock(path, channel));
      file.endTornLine();
      return file;
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e;
    }
  }

  /// Appends one record: on disk, whole, when this returns.
  public void append(Object record) throws IOException {
    write(RecordJson.write(record) + "\n");
  }

  /// The file.
  public Path path() {
    return path;
  }

  /// Releases the file for other writers.
  @Override
  public void close() throws IOException {
    lock.release();
    channel.close();
  }

  /// Reads a file, which is empty when it does not exist. Lines that are no such records are
  /// skipped with a warning.
  ///
  /// @param type the records' class
  /// @param each takes a record, or refuses it with an [IllegalArgumentException]
  /// @param warnings receives one line per line of the file that was skipped
  public static <T> void read(Path path, Class<T> type, Consumer<T> each, List<String> warnings)
      throws IOException {
    if (!Files.exists(path)) {
      return;
    }
    // decoded leniently: a torn line may end inside a character
    String text = new String(NamedFiles.bytes(path), StandardCharsets.UTF_8);
    int number = 0;
    for (String one : text.split("\n", -1)) {
      number++;
      // editors put a byte order mark at the beginning, and files are joined by concatenation
      String line = one.startsWith(BYTE_ORDER_MARK) ? one.substring(1) : one;
      if (line.isBlank()) {
        continue;
      }
      try {
        each.accept(RecordJson.read(line, type));
      } catch (IllegalArgumentException e) {
        warnings.add(path + ":" + number + ": line skipped: " + e.getMessage());
      }
    }
  }

  /// Reads files as if they were concatenated; of several records of one key the last one counts.
  ///
  /// @param type the records' class
  /// @param key identity of a record; refuses one with an [IllegalArgumentException]
  /// @param warnings receives one line per line of a file that was skipped
  /// @return one record per key, in order of first appearance
  public static <T> List<T> latest(
      List<Path> paths, Class<T> type, Function<T, String> key, List<String> warnings)
      throws IOException {
    Map<String, T> byKey = new LinkedHashMap<>();
    for (Path path : paths) {
      read(path, type, record -> byKey.put(key.apply(record), record), warnings);
    }
    return List.copyOf(byKey.values());
  }

  /// Writes records as a new file that appears whole or not at all, replacing an earlier one; where
  /// the path is a symbolic link, the file that it leads to.
  ///
  /// @throws IOException if the folder cannot be written
  public static void replace(Path path, List<?> records) throws IOException {
    Path absolute = path.toAbsolutePath();
    Path folder = Objects.requireNonNull(absolute.getParent(), "a file has a folder");
    Files.createDirectories(folder);
    StringBuilder text = new StringBuilder();
    for (Object record : records) {
      text.append(RecordJson.write(record)).append('\n');
    }
    byte[] bytes = text.toString().getBytes(StandardCharsets.UTF_8);
    try {
      AtomicFile.write(absolute, out -> out.write(bytes));
    } catch (IOException e) {
      throw NamedFiles.named(absolute, e);
    }
  }

  private void endTornLine() throws IOException {
    long size = channel.size();
    channel.position(size);
    if (size == 0) {
      return;
    }
    ByteBuffer last = ByteBuffer.allocate(1);
    channel.read(last, size - 1);
    if (last.get(0) != '\n') {
      write("\n");
    }
  }

  private void write(String text) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
    try {
      while (bytes.hasRemaining()) {
        channel.write(bytes);
      }
      channel.force(false);
    } catch (IOException e) {
      throw NamedFiles.named(path, e);
    }
  }

  private static FileLock tryLock(Path path, FileChannel channel) throws IOException {
    @Nullable FileLock lock;
    try {
      lock = channel.tryLock();
    } catch (OverlappingFileLockException e) {
      throw new IOException(
          path + ": the file must not be in use, but this process is writing it", e);
    }
    if (lock == null) {
      throw new IOException(
          path + ": the file must not be in use, but another command is writing it");
    }
    return lock;
  }
}
