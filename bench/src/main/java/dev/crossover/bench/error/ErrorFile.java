// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.PointStudy;
import dev.crossover.bench.machine.Commit;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.Consumer;

/// A file of [ErrorRecord]s, one JSON line each, that survives a kill at any moment.
///
/// @param path the file; it need not exist
public record ErrorFile(Path path) {
  /// The name of such a file inside its folder.
  public static final String NAME = "errors.jsonl";

  /// Computes the errors that the file does not hold yet; those of another commit or of other
  /// tensors do not count.
  ///
  /// @param jobs where to compute them
  /// @param progress is told of every record
  /// @param warnings receives one line per line of the file that was skipped
  /// @return the error of every point; empty where the mechanism cannot honour the mask or refuses
  ///     the sizes
  public Map<ErrorPoint, OptionalDouble> complete(
      List<ErrorPoint> points,
      Jobs jobs,
      PointStudy.Progress<ErrorRecord> progress,
      Consumer<String> warnings)
      throws IOException {
    String commit = Commit.current();
    List<ErrorRecord> records =
        new PointStudy<>(path, ErrorRecord.class, ErrorRecord::key)
            .complete(
                points.stream().distinct().map(point -> point.toPoint(commit)).toList(),
                new ErrorJob(jobs.threads(), commit),
                jobs,
                progress,
                warnings);
    Map<ErrorPoint, OptionalDouble> errors = new HashMap<>();
    for (ErrorRecord record : records) {
      errors.put(record.point(), record.value());
    }
    return errors;
  }
}
