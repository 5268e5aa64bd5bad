package dev.crossover.bench.quality;

import dev.crossover.bench.result.RecordJson;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A file of [QualityRecord]s, one JSON line each, appended whole.
public final class QualityFile {
  private final Path path;

  /// @param path the file; it need not exist
  public QualityFile(Path path) {
    this.path = path;
  }

  /// The file.
  public Path path() {
    return path;
  }

  /// What a file held.
  ///
  /// @param records one per run, the last one written, in order of first appearance
  /// @param warnings one line per line of the file that was skipped
  public record Contents(List<QualityRecord> records, List<String> warnings) {}

  /// Appends a record; a torn line that an earlier writer left is ended first.
  public void append(QualityRecord record) throws IOException {
    Path folder = path.toAbsolutePath().getParent();
    if (folder != null) {
      Files.createDirectories(folder);
    }
    String line = RecordJson.write(record) + "\n";
    boolean torn = false;
    if (Files.exists(path) && Files.size(path) > 0) {
      try (SeekableByteChannel file = Files.newByteChannel(path)) {
        ByteBuffer last = ByteBuffer.allocate(1);
        file.position(file.size() - 1).read(last);
        torn = last.get(0) != '\n';
      }
    }
    Files.writeString(
        path,
        torn ? "\n" + line : line,
        StandardCharsets.UTF_8,
        StandardOpenOption.CREATE,
        StandardOpenOption.APPEND,
        StandardOpenOption.DSYNC);
  }

  /// Reads a file; lines that are no quality records are skipped with a warning, and so is a file
  /// that does not exist without one.
  public Contents read() throws IOException {
    Map<String, QualityRecord> byRun = new LinkedHashMap<>();
    List<String> warnings = new ArrayList<>();
    if (!Files.exists(path)) {
      return new Contents(List.of(), List.of());
    }
    int number = 0;
    // read leniently: a torn line may end inside a character
    String all = new String(Files.readAllBytes(path), StandardCharsets.UTF_8);
    for (String line : all.lines().toList()) {
      number++;
      String text = line.startsWith("\uFEFF") ? line.substring(1) : line;
      if (text.isBlank()) {
        continue;
      }
      try {
        QualityRecord record = RecordJson.read(text, QualityRecord.class);
        if (!"quality".equals(record.kind())) {
          throw new IllegalArgumentException("kind must be quality, but was " + record.kind());
        }
        byRun.put(record.key(), record);
      } catch (IllegalArgumentException e) {
        warnings.add(path + ", line " + number + ": skipped, " + e.getMessage());
      }
    }
    return new Contents(List.copyOf(byRun.values()), List.copyOf(warnings));
  }
}
