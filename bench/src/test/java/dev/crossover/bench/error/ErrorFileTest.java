// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.RecordJson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ErrorFileTest {
  private static final KnobGrid FEATURES =
      new KnobGrid("features", "performer", "num_features", List.of(4, 8, 16), 3);

  @TempDir private Path folder;

  private static ErrorProblem problem(boolean causal) throws IOException {
    return ErrorProblem.of("gaussian:scale=1", 32, causal, 5, 1);
  }

  private Map<ErrorPoint, OptionalDouble> complete(List<ErrorPoint> points, List<String> told)
      throws IOException {
    return new ErrorFile(folder.resolve(ErrorFile.NAME))
        .complete(points, Jobs.here(2), (_, _, record) -> told.add(record.key()), told::add);
  }

  @Test
  void curveOfRecordsIsThatOfItsProblem() throws IOException {
    for (boolean causal : List.of(true, false)) {
      ErrorProblem problem = problem(causal);
      Function<String, ErrorPoint> on = ErrorPoint.on(problem);
      List<ErrorPoint> points = FEATURES.specs(problem).stream().map(on).toList();
      assertEquals(9, points.size());
      List<String> told = new ArrayList<>();
      Map<ErrorPoint, OptionalDouble> errors = complete(points, told);
      assertEquals(9, told.size(), told.toString());
      assertEquals(
          KnobCurve.of(problem, FEATURES),
          KnobCurve.of(problem, FEATURES, on.andThen(errors::get)));
      told.clear();
      assertEquals(errors, complete(points, told));
      assertEquals(List.of(), told, "nothing is computed twice");
    }
    assertEquals(18, Files.readAllLines(folder.resolve(ErrorFile.NAME)).size());
  }

  @Test
  void whatAMechanismRefusesIsARecordWithoutAnError() throws IOException {
    ErrorPoint refused = ErrorPoint.on(problem(true)).apply("nystromformer:landmarks=8");
    assertEquals(
        OptionalDouble.empty(), complete(List.of(refused), new ArrayList<>()).get(refused));
    assertEquals(
        OptionalDouble.empty(), complete(List.of(refused), new ArrayList<>()).get(refused));
  }

  @Test
  void othersTensorsAndOtherCommitsDoNotCount() throws IOException {
    ErrorPoint point = ErrorPoint.on(problem(false)).apply("topk:top_k=4");
    ErrorPoint other =
        new ErrorPoint(point.input(), "0123456789abcdef", 32, false, 5, point.spec());
    IOException refused =
        assertThrows(IOException.class, () -> complete(List.of(other), new ArrayList<>()));
    assertTrue(refused.getMessage().contains("tensors must be those"), refused.getMessage());
    String earlier = new ErrorJob(1, "earlier").compute(RecordJson.write(point));
    Files.writeString(folder.resolve(ErrorFile.NAME), earlier + "\n");
    List<String> told = new ArrayList<>();
    complete(List.of(point), told);
    assertEquals(1, told.size(), "computed again for this commit");
    assertEquals(2, Files.readAllLines(folder.resolve(ErrorFile.NAME)).size());
  }

  @Test
  void errorsThatAreNoNumbersAreKept() {
    ErrorPoint point = new ErrorPoint("in", "t", 1, false, 1, "topk");
    for (double error : new double[] {Double.NaN, Double.POSITIVE_INFINITY, 1e-300, 0.1}) {
      String text =
          RecordJson.write(new ErrorRecord(ErrorRecord.KIND, point, error, Machine.current(), "c"));
      assertEquals(error, RecordJson.read(text, ErrorRecord.class).value().orElseThrow());
    }
  }
}
