// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class MainTest {
  @TempDir Path folder;

  /// What a command answered.
  private record Answer(int code, String out, String err) {
    boolean oneLineOfError() {
      return out.isEmpty() && err.lines().count() == 1 && err.startsWith("crossover: ");
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "sweep --mechanisms performr;did you mean performer?",
        "sweep --mechanisms performer:num_feature=3;did you mean num_features?",
        "sweep --mechanisms tiled:;name=value",
        "sweep --mechanisms longformer:window=-1;window must",
        "sweep --mechanism tiled;did you mean --mechanisms?",
        "sweep --n 12,x;n must be whole numbers from 1, but was 'x'",
        "sweep --n 512..256;ranges must grow",
        "sweep --n 0;from 1",
        "sweep --threads 0;threads must",
        "sweep --mask casual;did you mean causal?",
        "sweep -m tiled,nystromformer --mask causal;mask must be none for nystromformer",
        "sweep standrd;did you mean standard?",
        "sweep absent.yaml;or a YAML file, but was absent.yaml",
        "sweep --print quik;did you mean quick?",
        "sweep --dry-run --n 0;from 1",
        "merge out.jsonl absent.jsonl;absent.jsonl: there is no such result file",
        "merge out.jsonl;IN",
        "sweep --input capturd;did you mean captured?",
        "sweep --input gaussian:scale=-1;scale must be above 0",
        "sweep --study forwrd;did you mean forward?",
        "sweep --effort quik;did you mean quick?",
        "sweep --forks 0;forks must be >= 1",
        "sweep --shard 4/3;shard must",
        "sweep --shard x;shard must read I/N",
        "sweep --qkv a.npy --input captured;input must be absent",
        "sweep --qkv a.npy --qkv-names q,k;three names",
        "sweep --qkv does-not-exist.safetensors;does-not-exist.safetensors",
        "sweep --qkv-layer 3;qkv must be given",
        "sweep --qkv-heads 1 --dry-run;qkv must be given",
        "sweep --dim 513;dim must be that of input captured (64) or absent, but was 513",
        "sweep --heads 5;heads must be that of input captured (2) or absent, but was 5",
        "sweep --batch 3 --dry-run;batch must be that of input captured (1)",
        "sweep --n 16384 -m tiled;n must be at most the positions of input captured (8192)",
        "sweep --n 1000000000 --input gaussian;points can be measured: query must",
        "sweep --study decode -m linformer --n 64;decoding must not be asked for",
        "sweep --input captured:heads=9;captured:heads=9: heads must be below 2, but was 9",
        "sweep -m layer/layer/tiled;layer/ must be given once",
        "sweep -m mixed:0=tiled,2=moba:block_size=64,top_k=5;head 1 was absent",
        "sweep -m mixed:0=linear_transformer;must be exact or approximate softmax",
        "tune --mask cuasal;did you mean causal?",
        "tune -m longformr;did you mean longformer?",
        "tune --budget soon;budget must be a time like 90s",
        "tune --max-error 0;max-error must be numbers > 0",
        "tune --n 16384;n must be at most 8192 for this input, but was 16384",
        "tune --input capturd;did you mean captured?",
        "tune --per-head;per-head must come with judge-input",
        "tune --each 0;each, threads and forks must be >= 1",
        "sweep -m tiled,,tiled;but was empty",
        "sweep -m tiled:scale=0,5;scale must be a number with a decimal point (0.5), but was 0,5",
        "sweep --input gaussian:scale=1,5;decimal point (1.5), but was 1,5",
        "sweep --qkv a.npy --qkv-layout dhn;qkv-layout must be hnd",
        "sweep -m based --n 64 --dim 100000 --input gaussian --threads 1 --dry-run;n 64, dim"
            + " 100000",
        "errors --qkv absent.safetensors;absent.safetensors",
        "errors --qkv a.npy --input captured;input must be absent",
        "advise --n 8 absent.jsonl;absent.jsonl: there is no such result file",
        "advise --n 8 --mask casual;did you mean causal?",
        "swep;did you mean sweep?",
        "list nope;mechanism must be one of",
        "report absent.jsonl;absent.jsonl: there is no such result file",
        "advise;--n",
        "advise --n 0;n must be >= 1",
        "advise --n 8 --dim 0;dim must be >= 1",
        "advise --n 8 --max-error -1;max-error must be >= 0",
        "advise --n 8 --results absent.jsonl;absent.jsonl: there is no such result file",
        "advise --n 8 --qkv absent.safetensors;absent.safetensors",
        "advise --n 8 --qkv a.npy --qkv-names q,k;three names",
        "advise --n 8 --max-eror 1;did you mean --max-error?",
        "claims absent.jsonl;absent.jsonl: there is no such result file",
        "claims --forks 0;forks must be >= 1",
        "claims --threads 0;threads must be >= 1",
        "compare;OLD",
        "compare a.jsonl absent.jsonl;a.jsonl: there is no such result file",
        "compare a b --alph 0.1;did you mean --alpha?",
        "errors --n 9000;n must be at most the positions of input captured (8192), but was 9000",
        "errors --n 15;n must be at least 16",
        "conformance;FILE"
      })
  void askingForWhatDoesNotExistIsOneLineAndExitCodeTwo(String command, String expected) {
    Answer answer = run(command.split(" "));
    assertEquals(Main.USAGE, answer.code, answer.err);
    assertTrue(answer.oneLineOfError(), answer.out + answer.err);
    assertTrue(answer.err.contains(expected), answer.err);
  }

  @ParameterizedTest
  @CsvSource({"safetensors", "npy", "npz", "bin"})
  void randomBytesAsInputAreOneLineAndExitCodeTwo(String extension) throws IOException {
    for (long seed = 0; seed < 5; seed++) {
      byte[] bytes = new byte[500];
      new Random(seed).nextBytes(bytes);
      Path file = folder.resolve("random." + extension);
      Files.write(file, bytes);
      Answer answer = run("sweep", "--qkv", file.toString(), "--out", folder.toString());
      assertEquals(Main.USAGE, answer.code, answer.err);
      assertTrue(answer.oneLineOfError(), answer.err);
      assertTrue(answer.err.contains(file.toString()), answer.err);
    }
  }

  @Test
  void mistakeInASweepFileIsOneLineWithFileAndLine() throws IOException {
    Path file = folder.resolve("sweep.yaml");
    Files.writeString(file, "lengths: [64]\nmechanisms:\n  - tiled\n  - performr\n");
    Answer answer = run("sweep", file.toString());
    assertEquals(Main.USAGE, answer.code, answer.err);
    assertTrue(answer.oneLineOfError(), answer.err);
    assertTrue(answer.err.contains("sweep.yaml:4: mechanism must be one of"), answer.err);
    assertTrue(answer.err.contains("did you mean performer?"), answer.err);
  }

  @Test
  void dryRunMeasuresNothingAndOptionsOverrideTheFile() throws IOException {
    Path file = folder.resolve("sweep.yaml");
    Files.writeString(file, "mechanisms: tiled\nlengths: 64\nforks: 3\n");
    Path out = folder.resolve("out");
    Answer answer =
        run("sweep", file.toString(), "--n", "128,256", "-o", out.toString(), "--dry-run");
    assertEquals(0, answer.code, answer.err);
    assertTrue(answer.out.contains("2 points: 2 to measure with 3 forks each"), answer.out);
    assertTrue(answer.out.contains("predicted time: "), answer.out);
    assertTrue(answer.out.contains("assumed"), answer.out);
    assertFalse(Files.exists(out));
  }

  @Test
  void printedSweepIsTheBuiltInOne() throws IOException {
    Path file = folder.resolve("copy.yaml");
    Files.writeString(file, run("sweep", "--print", "standard").out);
    String none = folder.resolve("none").toString();
    Answer copy = run("sweep", file.toString(), "--dry-run", "-o", none);
    Answer builtIn = run("sweep", "standard", "--dry-run", "-o", none);
    assertEquals(builtIn.out, copy.out);
    assertEquals(0, builtIn.code);
  }

  @Test
  void debugShowsTheTrace() {
    Answer plain = run("sweep", "--mechanisms", "performr");
    Answer debug = run("sweep", "--mechanisms", "performr", "--debug");
    assertFalse(plain.err.contains("\tat "));
    assertTrue(debug.err.contains("\tat "));
    assertEquals(Main.USAGE, debug.code);
  }

  @Test
  void helpListsEveryCommand() {
    for (Answer answer : new Answer[] {run(), run("help"), run("--help")}) {
      assertEquals(0, answer.code);
      for (String command :
          new String[] {
            "list", "sweep", "merge", "report", "advise", "claims", "compare", "conformance", "help"
          }) {
        assertTrue(answer.out.contains(command), command);
      }
    }
    assertTrue(run("help", "sweep").out.contains("--mechanisms"));
    assertTrue(run("--version").out.startsWith("crossover "));
  }

  @Test
  void listTellsEveryMechanismParameterAndDefault() {
    Answer answer = run("list");
    assertEquals(0, answer.code);
    for (MechanismType type : Catalogue.all()) {
      assertTrue(answer.out.contains(type.name() + " — " + type.mechanism().title()));
      String own = run("list", type.name()).out;
      for (RecordType.ParameterInfo parameter : type.parameters()) {
        String value = parameter.defaultValue().isEmpty() ? "(absent)" : parameter.defaultValue();
        assertTrue(own.contains(parameter.name() + " = " + value + ": "), own);
      }
    }
  }

  @Test
  void markdownTableHasOneRowPerMechanism() {
    Answer answer = run("list", "--markdown");
    assertEquals(2 + Catalogue.all().size(), answer.out.lines().count());
    long bars =
        answer
            .out
            .lines()
            .findFirst()
            .orElse("")
            .replace("\\|", "")
            .chars()
            .filter(c -> c == '|')
            .count();
    assertTrue(
        answer
            .out
            .lines()
            .allMatch(l -> l.replace("\\|", "").chars().filter(c -> c == '|').count() == bars));
  }

  @Test
  void fileThatCannotBeReplayedFailsTheConformanceOfAll() throws IOException {
    Path bad = folder.resolve("bad.safetensors");
    Files.write(bad, new byte[] {1, 2, 3});
    Answer answer = run("conformance", bad.toString());
    assertEquals(Main.FAILED, answer.code);
    assertTrue(answer.out.contains(bad.toString()), answer.out);
    assertTrue(answer.out.contains("0 passed, 0 deviated, 1 could not be replayed"), answer.out);
    assertEquals(2, answer.out.lines().count(), "one line per file and a summary");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "{\"torn", "a\nb\nc\n", "null\n[]\n"})
  void fileWithoutRecordsIsRefusedInOneLineByEveryCommandThatReadsOne(String text)
      throws IOException {
    Path file = folder.resolve("results.jsonl");
    Files.writeString(file, text);
    String name = file.toString();
    for (String[] command :
        new String[][] {
          {"report", name},
          {"merge", folder.resolve("all.jsonl").toString(), name},
          {"compare", name, name},
          {"claims", name},
          {"advise", "--n", "8", "--results", name}
        }) {
      Answer answer = run(command);
      assertEquals(Main.USAGE, answer.code, answer.err);
      assertTrue(answer.oneLineOfError(), answer.err);
      assertTrue(answer.err.contains(name), answer.err);
      assertTrue(answer.err.contains("no records"), answer.err);
    }
  }

  @Test
  void folderThatCannotBeWrittenIsNamedWithTheReason() throws IOException {
    Path file = folder.resolve("file");
    Files.writeString(file, "");
    Answer answer = run("sweep", "--n", "64", "-m", "tiled", "--out", file.toString());
    assertEquals(Main.FAILED, answer.code, answer.err);
    assertTrue(answer.oneLineOfError(), answer.out + answer.err);
    assertTrue(answer.err.contains(file + ": must be a folder, but was a file"), answer.err);
    assertEquals(answer.err, run("errors", "--out", file.toString()).err, "before it computes");
  }

  @Test
  void claimsWithoutRecordsReproduceNothingMeasured() throws IOException {
    Answer answer = run("claims", "--no-measure", "--out", folder.toString());
    assertEquals(0, answer.code, answer.err);
    assertFalse(answer.out.contains("[contradicted]"), answer.out);
    assertTrue(answer.out.contains("4,462 times"), answer.out);
    String page = Files.readString(folder.resolve("claims.md"));
    assertTrue(page.startsWith("# "), page);
    assertTrue(page.contains("not measured"), page);
  }

  private static Answer run(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(new PrintWriter(out, true), new PrintWriter(err, true), arguments);
    return new Answer(code, out.toString(), err.toString());
  }
}
