// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileWriter;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringReader;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.w3c.dom.Document;
import org.xml.sax.InputSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class ExplainCommandTest {
  @TempDir Path folder;

  @Test
  void exampleIsTheReadmes() throws IOException {
    StringWriter out = new StringWriter();
    assertEquals(0, run(out, "explain --example"));
    String readme = Files.readString(Path.of("..", "README.md")).replace("\r\n", "\n");
    String begin = "<!-- crossover explain --example -->\n```text\n";
    String block = readme.substring(readme.indexOf(begin) + begin.length());
    assertEquals(out.toString(), block.substring(0, block.indexOf("```")));
  }

  /// Every number was found by hand.
  @Test
  void exampleHasTheNumbersFoundByHand() {
    StringWriter out = new StringWriter();
    assertEquals(0, run(out, "explain --example"));
    for (String line :
        List.of(
            "scores / ln 2       0  1  2            2  1  0            1  1  1",
            "weights             1/7  2/7  4/7      4/7  2/7  1/7      1/3  1/3  1/3",
            "outputs             27  18             18  9              21  14",
            "causal weights      1  0  0            2/3  1/3  0        1/3  1/3  1/3",
            "causal outputs      21  0              14  7              21  14",
            "effective           1/7  2/7  4/7      1/7  1/14  5/14    1/9  2/9  4/9",
            "mean distance 22/21 tokens")) {
      assertTrue(out.toString().contains(line), line + "\n" + out);
    }
  }

  /// Nyströmformer with four landmarks has rank four: no graph of eight tokens, and the page says
  /// so.
  @Test
  void pageShowsGraphsBesideTheExactOneAndWhyOneIsMissing() throws Exception {
    StringWriter out = new StringWriter();
    int code =
        run(
            out,
            "explain --n 32 --nodes 20..26,31 --target 31 --threads 1 --mask none"
                + " -m longformer:window=31,longformer:window=4,nystromformer:landmarks=4 -o "
                + folder);
    assertEquals(0, code, out.toString());
    String page = Files.readString(folder.resolve("explain.html")).replace("&#x3D;", "=");
    JsonNode json =
        JsonMapper.builder().build().readTree(Files.readString(folder.resolve("explain.json")));
    JsonNode graphs = json.get("parts").get(0).get("graphs");
    assertEquals(4, graphs.size());
    assertEquals(8, json.get("tokens").size());
    assertEquals(31, json.get("tokens").get(7).get("position").intValue());
    JsonNode whole = graphs.get(1);
    assertEquals("longformer:window=31", whole.get("attention").stringValue());
    assertEquals(0, whole.get("difference").get("edges").intValue(), "a window over everything");
    int edges = graphs.get(2).get("difference").get("edges").intValue();
    assertTrue(edges > 0, "a narrow window");
    assertTrue(page.contains("longformer:window=4 in " + edges), "edges that differ");
    assertEquals(4, graphs.get(3).get("rank").intValue());
    assertTrue(page.contains("the 8 rows have rank 4"), "rank");
    assertTrue(page.contains("Sets that explain token 31"), "explanations");
    Matcher svg = Pattern.compile("(?s)<svg.*?</svg>").matcher(page);
    assertTrue(svg.find());
    Document drawing = parsed(svg.group());
    int nodes = 0;
    var circles = drawing.getElementsByTagName("circle");
    for (int i = 0; i < circles.getLength(); i++) {
      boolean node =
          circles.item(i).getAttributes().getNamedItem("r").getNodeValue().equals("13.00");
      nodes += node ? 1 : 0;
    }
    assertEquals(4 * 8, nodes, "tokens of four panels");
    for (String picture : List.of("png", "pdf", "svg")) {
      Path file = folder.resolve("figures/graphs-unmasked." + picture);
      assertTrue(Files.size(file) > 3_000, file.toString());
    }
    String graphviz = Files.readString(folder.resolve("graphs/unmasked-exact.dot"));
    assertEquals(
        graphs.get(0).get("edges").size(),
        graphviz.lines().filter(line -> line.contains(" -> ")).count());
    assertTrue(graphviz.startsWith("digraph {") && graphviz.contains("[label=\"31\"]"), graphviz);
    assertTrue(out.toString().contains("exact: " + graphs.get(0).get("edges").size() + " edges"));
    assertTrue(Files.readString(folder.resolve("csv/unmasked-heads.csv")).contains("exact,1,"));
    assertTrue(Files.size(folder.resolve("csv/paths-mechanism.csv")) > 2_000);
  }

  private static Document parsed(String xml) throws Exception {
    return DocumentBuilderFactory.newInstance()
        .newDocumentBuilder()
        .parse(new InputSource(new StringReader(xml)));
  }

  /// Two layers of weights from a file: token 2 gives half its weight to token 0 in each layer.
  @Test
  void weightsOfAnyModelGiveRolloutAndFlow() throws IOException {
    float[] layer = {1, 0, 0, 0.5f, 0.5f, 0, 0.5f, 0.25f, 0.25f};
    float[] both = new float[18];
    System.arraycopy(layer, 0, both, 0, 9);
    System.arraycopy(layer, 0, both, 9, 9);
    Path weights = folder.resolve("weights.safetensors");
    new TensorFileWriter().add("attn", Tensor.of(both, 2, 1, 3, 3)).writeSafeTensors(weights);
    Path words = folder.resolve("words.txt");
    Files.writeString(words, "one\ntwo <b>\nthree\n");
    StringWriter out = new StringWriter();
    int code =
        run(
            out,
            "explain --attention "
                + weights
                + " --attention-name attn --samples 768 --tokens "
                + words
                + " -o "
                + folder);
    assertEquals(0, code, out.toString());
    JsonNode json =
        JsonMapper.builder().build().readTree(Files.readString(folder.resolve("explain.json")));
    JsonNode rollout = json.get("layers").get("rollout");
    // B = [[1, 0, 0], [1/4, 3/4, 0], [1/4, 1/8, 5/8]]; last row of B²
    assertEquals(0.25 + 0.125 * 0.25 + 0.625 * 0.25, rollout.get(0).doubleValue(), 1e-9);
    assertEquals(0.125 * 0.75 + 0.625 * 0.125, rollout.get(1).doubleValue(), 1e-9);
    assertEquals(0.625 * 0.625, rollout.get(2).doubleValue(), 1e-9);
    // 1/4 + min(1/8, 1/4) + min(5/8, 1/4); min(1/8, 3/4) + min(5/8, 1/8); 5/8
    double sum = 0.625 + 0.25 + 0.625;
    JsonNode flow = json.get("layers").get("flow");
    assertEquals(0.625 / sum, flow.get(0).doubleValue(), 1e-9);
    assertEquals(0.25 / sum, flow.get(1).doubleValue(), 1e-9);
    assertEquals(2, json.get("parts").get(0).get("heads").size());
    String page = Files.readString(folder.resolve("explain.html"));
    assertTrue(page.contains("two &lt;b&gt;") && !page.contains("two <b>"), "text is escaped");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "explain --mask casual;did you mean causal?",
        "explain --learner icdd;did you mean icd?",
        "explain --rule10 paper;rule10 must be one of",
        "explain -m performr;did you mean performer?",
        "explain -m layer/tiled;mechanisms must not be layers",
        "explain --n 0;n must be from 1 to",
        "explain --nodes 3..200;nodes must be positions from 0 to 127",
        "explain --head 7;head must be from 0 to 1",
        "explain --target 5;target must be one of the nodes",
        "explain --share 2;share must lie between 0 and 1",
        "explain --significance 0;significance must lie between 0 and 1",
        "explain --layer 3;attention must be given with",
        "explain --attention x.npz --n 4;attention must not be given with",
      })
  void askingForWhatDoesNotExistIsOneLineAndExitCodeTwo(String command, String expected) {
    StringWriter out = new StringWriter();
    assertEquals(2, run(out, command + " -o " + folder), out.toString());
    assertTrue(out.toString().contains(expected), out.toString());
    assertEquals(1, out.toString().lines().count(), out.toString());
  }

  private static int run(StringWriter both, String command) {
    PrintWriter writer = new PrintWriter(both, true);
    return Main.run(writer, writer, command.split(" "));
  }
}
