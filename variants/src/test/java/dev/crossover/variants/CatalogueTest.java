// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.RecordType;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class CatalogueTest {

  @Test
  void everyMechanismIsFoundByNameAndDescribesItsDefaultsAsItsName() {
    for (MechanismType type : Catalogue.all()) {
      assertEquals(type, Catalogue.find(type.name()));
      assertEquals(type.name(), type.describe(type.defaults()));
    }
  }

  @Test
  void namesAreUnique() {
    long distinct = Catalogue.all().stream().map(MechanismType::name).distinct().count();
    assertEquals(Catalogue.all().size(), distinct);
  }

  @Test
  void aMechanismThatDoesNotDecodeSaysWhyAndItsRefusalToo() {
    AttentionShape shape = AttentionShape.of(1, 2, 8, 4);
    for (MechanismType type : Catalogue.all()) {
      String why = type.mechanism().decoding();
      Attention attention = type.defaults();
      if (!attention.capabilities().decoding()) {
        assertFalse(why.isEmpty() || why.startsWith("not with "), type.name());
        var refused =
            assertThrows(UnsupportedOperationException.class, () -> attention.decode(shape));
        assertEquals(type.name() + " must not be asked to decode: " + why, refused.getMessage());
      } else {
        assertTrue(why.isEmpty() || why.startsWith("not with "), type.name() + ": " + why);
      }
    }
  }

  @Test
  void aSettingThatDoesNotDecodeIsNamed() {
    int found = 0;
    for (MechanismType type : Catalogue.all()) {
      boolean decodes = type.defaults().capabilities().decoding();
      for (RecordType.ParameterInfo parameter : type.parameters()) {
        for (String value : parameter.values()) {
          boolean can = type.create(Map.of(parameter.name(), value)).capabilities().decoding();
          if (decodes && !can) {
            String setting = parameter.name() + "=" + value;
            assertTrue(type.mechanism().decoding().contains(setting), type.name() + ": " + setting);
            found++;
          }
        }
      }
    }
    assertTrue(found >= 2, "settings that do not decode: " + found);
  }

  /// n and d are the lengths and widths of every paper; any other letter is a parameter's.
  @Test
  void everyLetterOfACostFormulaIsExplainedByAParameter() {
    for (MechanismType type : Catalogue.all()) {
      String meanings =
          type.parameters().stream()
              .map(RecordType.ParameterInfo::meaning)
              .collect(Collectors.joining("; "));
      var letters =
          Pattern.compile("\\b[a-zA-Z]\\b")
              .matcher(type.mechanism().time() + ", " + type.mechanism().memory());
      while (letters.find()) {
        String letter = letters.group();
        assertTrue(
            letter.matches("[nd]") || meanings.matches(".*\\b" + letter + "\\b.*"),
            type.name() + " does not say what " + letter + " is");
      }
    }
  }

  @Test
  void parametersAreParsedAndDescribedBack() {
    assertEquals(
        "tiled:scale=0.25", Catalogue.find("tiled").describe(Catalogue.parse("tiled:scale=0.25")));
  }

  @Test
  void typingErrorIsAnsweredWithTheNearestName() {
    var error = assertThrows(IllegalArgumentException.class, () -> Catalogue.parse("tilde"));
    assertTrue(error.getMessage().contains("did you mean tiled?"), error.getMessage());
    error = assertThrows(IllegalArgumentException.class, () -> Catalogue.parse("tiled:scal=1"));
    assertTrue(error.getMessage().contains("did you mean scale?"), error.getMessage());
  }
}
