package dev.crossover.bench.result;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/// A file of [ResultRecord]s, one JSON line each, that survives a kill at any moment.
///
/// A record is appended with one write of its whole line and forced to disk before [#append]
/// returns. A writer that finds the file without a final line break (an earlier writer died inside
/// a write) first ends that line, so that the torn text stays a line of its own, and readers skip
/// it with a warning. Files are merged by concatenation: records of the same point are reduced to
/// one when read.
public final class ResultFile implements AutoCloseable {

  /// What a file held.
  ///
  /// @param records one per point and environment, in order of first appearance
  /// @param warnings one line per line of the file that was skipped
  public record Contents(List<ResultRecord> records, List<String> warnings) {}

  private final Path path;
  private final FileChannel channel;
  private final FileLock lock;

  private ResultFile(Path path, FileChannel channel, FileLock lock) {
    this.path = path;
    this.channel = channel;
    this.lock = lock;
  }

  /// Opens a file for appending, creating it and its folder if necessary.
  ///
  /// @throws IOException if another writer holds the file, or it cannot be opened
  public static ResultFile open(Path path) throws IOException {
    Path folder = path.toAbsolutePath().getParent();
    if (folder != null) {
      Files.createDirectories(folder);
    }
    FileChannel channel =
        FileChannel.open(
            path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
    try {
      FileLock lock = tryLock(path, channel);
      ResultFile file = new ResultFile(path, channel, lock);
      file.endTornLine();
      return file;
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e;
    }
  }

  /// Appends one record: on disk, whole, when this returns.
  public void append(ResultRecord record) throws IOException {
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

  /// Reads files as if they were concatenated; a file that does not exist is empty.
  ///
  /// Of several records of one point and environment the one with the most forks counts, the later
  /// of equals. Lines that are not records are skipped with a warning.
  public static Contents read(Path... paths) throws IOException {
    Map<String, ResultRecord> records = new LinkedHashMap<>();
    List<String> warnings = new ArrayList<>();
    for (Path path : paths) {
      if (Files.exists(path)) {
        readInto(path, records, warnings);
      }
    }
    return new Contents(List.copyOf(records.values()), List.copyOf(warnings));
  }

  /// Writes records as a new file that appears whole or not at all, replacing an earlier one.
  ///
  /// @throws IOException if the folder cannot be written
  public static void replace(Path path, List<ResultRecord> records) throws IOException {
    Path absolute = path.toAbsolutePath();
    Path folder = Objects.requireNonNull(absolute.getParent(), "a file has a folder");
    Files.createDirectories(folder);
    Path whole = Files.createTempFile(folder, absolute.getFileName().toString(), ".tmp");
    try {
      StringBuilder text = new StringBuilder();
      for (ResultRecord record : records) {
        text.append(RecordJson.write(record)).append('\n');
      }
      Files.writeString(whole, text);
      Files.move(whole, absolute, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(whole);
    }
  }

  private static void readInto(Path path, Map<String, ResultRecord> records, List<String> warnings)
      throws IOException {
    // decoded leniently: a torn line may end inside a character
    String text = new String(Files.readAllBytes(path), StandardCharsets.UTF_8);
    int number = 0;
    for (String line : text.split("\n", -1)) {
      number++;
      if (line.isBlank()) {
        continue;
      }
      try {
        ResultRecord record = RecordJson.read(line, ResultRecord.class);
        requireComplete(record);
        records.merge(record.key(), record, ResultFile::better);
      } catch (IllegalArgumentException e) {
        warnings.add(path + ":" + number + ": line skipped: " + e.getMessage());
      }
    }
  }

  private static void requireComplete(ResultRecord r) {
    if (r.schema() > ResultRecord.SCHEMA || r.schema() < 1) {
      throw new IllegalArgumentException(
          "schema must be from 1 to " + ResultRecord.SCHEMA + ", but was " + r.schema());
    }
    Object[] required = {
      r.study(),
      r.mechanism(),
      r.spec(),
      r.parameters(),
      r.approximates(),
      r.shape(),
      r.mask(),
      r.input(),
      r.status(),
      r.environment()
    };
    for (Object part : required) {
      if (part == null) {
        throw new IllegalArgumentException("record must be complete, but parts were missing");
      }
    }
  }

  private static ResultRecord better(ResultRecord earlier, ResultRecord later) {
    return later.forks() >= earlier.forks() ? later : earlier;
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
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
    channel.force(false);
  }

  private static FileLock tryLock(Path path, FileChannel channel) throws IOException {
    try {
      FileLock lock = channel.tryLock();
      if (lock == null) {
        throw new IOException(
            path + ": the file must not be in use, but another sweep is writing it");
      }
      return lock;
    } catch (OverlappingFileLockException e) {
      throw new IOException(
          path + ": the file must not be in use, but this process is writing it", e);
    }
  }
}
