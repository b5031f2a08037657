// Go's net/http, which asks for gzip by itself and keeps its connections.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func body(count int) string {
	texts := make([]string, count)
	for i := range texts {
		texts[i] = fmt.Sprintf("peer %d ü", i)
	}
	data, _ := json.Marshal(map[string][]string{"text": texts})
	return string(data)
}

func show(name string, url string, body io.Reader) {
	response, err := http.Post(url, "application/json", body)
	if err != nil {
		fmt.Println(name, err)
		return
	}
	defer response.Body.Close()
	var answer struct{ Predictions []any }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		fmt.Println(name, err)
		return
	}
	fmt.Println(name, response.StatusCode, len(answer.Predictions))
}

func main() {
	predict := os.Args[1] + "/project/predict"
	show("json", predict, strings.NewReader(body(2)))
	show("large", predict, strings.NewReader(body(100)))
	show("slash", predict+"/", strings.NewReader(body(1)))
	show("chunked", predict, io.MultiReader(strings.NewReader(body(3))))
	show("again", predict, strings.NewReader(body(3)))
}
